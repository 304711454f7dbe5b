"""People, as operators see them."""

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

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass


class NewUser(UserCreationForm):
    class Meta:
        model = User
        fields = ("email", "name", "language", "country", "phone", "wants_messages")
        field_classes: dict[str, type[forms.Field]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["country"].required = True

    def clean_email(self) -> str:
        """Compare in the form in which addresses are kept."""
        return User.objects.normalize_email(self.cleaned_data["email"])

    def clean_country(self) -> str:
        return str(self.cleaned_data["country"]).upper()


class ChangedUser(UserChangeForm):
    class Meta:
        model = User
        fields = ("is_staff", "is_superuser", "groups", "user_permissions")
        field_classes: dict[str, type[forms.Field]] = {}


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = ChangedUser
    add_form = NewUser
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "name", "country", "language", "is_active", "is_staff", "date_joined"]
    list_filter = ["is_active", "is_staff", "language", "country"]
    search_fields = ["email", "name", "phone", "id"]
    ordering = ["-date_joined"]
    date_hierarchy = "date_joined"
    actions = ["disable"]
    # Other contexts were told these, and there is no news yet that would tell them better.
    told = ("id", "email", "name", "language", "country", "phone", "wants_messages")
    readonly_fields = (*told, "is_active", "date_joined", "last_login", "password_page")
    fieldsets = [
        (None, {"fields": told}),
        ("Door", {"fields": ["is_active", "date_joined", "last_login", "password_page"]}),
        ("Rights", {"fields": ["is_staff", "is_superuser", "groups", "user_permissions"]}),
    ]
    add_fieldsets = [
        (None, {"fields": [*NewUser.Meta.fields, "usable_password", "password1", "password2"]})
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Leave everything open to whoever is new; only a superuser hands out rights."""
        if obj is None:
            return ()
        rights = () if request.user.is_superuser else ChangedUser.Meta.fields
        return (*self.readonly_fields, *rights)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Refuse: other contexts hold the id. People are disabled."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Let new customers in by the front door, so that the house hears of them."""
        if change:
            super().save_model(request, obj, form, change)
        else:
            services.admit(obj)

    @admin.display(description="Password")
    def password_page(self, user: User) -> str:
        """Link to the page that sets a new one; not even the hash is shown."""
        return mark_safe('<a class="underline" href="../password/">set a new one</a>')

    @admin.action(description="Disable: may not log in any more", permissions=["change"])
    def disable(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """Shut the door, by the service, so that the house hears of it."""
        for user in users:
            services.disable(user.pk, "disabled in the admin")
        messages.success(request, f"Disabled: {', '.join(user.email for user in users)}")
