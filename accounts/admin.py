"""Users and groups in the admin."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import mark_safe
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import services
from accounts.models import User
from infra.admin import RepeatingAdmin

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(RepeatingAdmin, DjangoGroupAdmin, ModelAdmin):
    pass


class UserAddForm(UserCreationForm):
    class Meta:
        model = User
        fields = ("email", "name", "language", "country", "phone", "wants_messages")
        field_classes: dict[str, type[forms.Field]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["country"].required = True

    def clean_email(self) -> str:
        return User.objects.normalize_email(self.cleaned_data["email"])

    def clean_country(self) -> str:
        return str(self.cleaned_data["country"]).upper()


class PermissionsForm(UserChangeForm):
    class Meta:
        model = User
        fields = ("is_staff", "is_superuser", "groups", "user_permissions")
        field_classes: dict[str, type[forms.Field]] = {}


@admin.register(User)
class UserAdmin(RepeatingAdmin, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = PermissionsForm
    add_form = UserAddForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "name", "country", "language", "is_active", "is_staff", "date_joined"]
    list_filter = ["is_active", "is_staff", "language", "country"]
    search_fields = ["email", "name", "phone", "id"]
    ordering = ["-date_joined"]
    date_hierarchy = "date_joined"
    actions = ["disable"]
    # Read-only: other contexts store these fields, and no event announces a change of them yet.
    published_fields = ("id", "email", "name", "language", "country", "phone", "wants_messages")
    readonly_fields = (*published_fields, "is_active", "date_joined", "last_login", "password_page")
    fieldsets = [
        (None, {"fields": published_fields}),
        ("Access", {"fields": ["is_active", "date_joined", "last_login", "password_page"]}),
        ("Permissions", {"fields": ["is_staff", "is_superuser", "groups", "user_permissions"]}),
    ]
    add_fieldsets = [
        (None, {"fields": [*UserAddForm.Meta.fields, "usable_password", "password1", "password2"]})
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return ()
        # Only a superuser grants permissions.
        permissions = () if request.user.is_superuser else PermissionsForm.Meta.fields
        return (*self.readonly_fields, *permissions)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False  # other contexts hold the id: users are disabled, never deleted

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            services.register(obj)  # publishes CustomerSignedUp

    @admin.display(description="Password")
    def password_page(self, user: User) -> str:
        """Link to the form for a new password. The hash is not shown."""
        return mark_safe('<a class="underline" href="../password/">set a new one</a>')

    @admin.action(description="Disable: forbid to log in", permissions=["change"])
    def disable(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """Disable each user by the service, which publishes CustomerDisabled."""
        for user in users:
            services.disable(user.pk, "disabled in the admin")
        messages.success(request, f"Disabled: {', '.join(user.email for user in users)}")
