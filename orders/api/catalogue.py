"""Views of the catalogue: all callers read, operators write."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from orders import queries, services
from orders.models import Product
from orders.serializers import (
    ProductChange,
    ProductListing,
    ProductShown,
)


class IsOperatorOrReadOnly(BasePermission):
    """Every caller may read; operators may write."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS or IsAdminUser().has_permission(request, view)


class Products(generics.ListAPIView[Product]):
    """The catalogue, the most viewed product first. Operators add products."""

    permission_classes = [IsOperatorOrReadOnly]
    serializer_class = ProductShown
    queryset = Product.objects.none()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the catalogue, from the cache."""
        page: Any = self.paginate_queryset(queries.Catalogue())  # type: ignore[arg-type]
        return self.get_paginated_response(ProductShown(page, many=True).data)

    @extend_schema(request=ProductListing, responses={201: ProductShown})
    def post(self, request: Request) -> Response:
        """List a product for sale."""
        body = ProductListing(data=request.data)
        body.is_valid(raise_exception=True)
        product = services.list_product(**body.validated_data)
        return Response(
            _product(product.sku),
            status.HTTP_201_CREATED,
            headers={"Location": reverse("product", [product.sku], request=request)},
        )


class OneProduct(APIView):
    """One product. Operators change its price and retire it."""

    permission_classes = [IsOperatorOrReadOnly]

    @extend_schema(responses=ProductShown)
    def get(self, request: Request, sku: str) -> Response:
        """Return a product, and count the view."""
        product: Any = queries.cached_product(sku)
        if product is None:
            raise Http404
        services.count_view(sku)
        return Response(ProductShown(product).data)

    @extend_schema(request=ProductChange, responses=ProductShown)
    def patch(self, request: Request, sku: str) -> Response:
        """Change the price of a product, or retire it."""
        generics.get_object_or_404(Product, pk=sku)
        body = ProductChange(data=request.data)
        body.is_valid(raise_exception=True)
        if "unit_price" in body.validated_data:
            services.reprice_product(sku, body.validated_data["unit_price"])
        if "active" in body.validated_data:
            services.retire_product(sku)
        return Response(_product(sku))


def _product(sku: str) -> dict[str, Any]:
    return ProductShown(queries.products().get(pk=sku)).data
