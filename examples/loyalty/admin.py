from django.contrib import admin

from infra.admin import ReadOnlyAdmin
from loyalty.models import Balance


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin):
    list_display = ["customer_id", "points"]
