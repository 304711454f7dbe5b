"""Charts for operators, and the rows that they are drawn from."""

from analytics.admin.charts import ChartAdmin
from analytics.admin.rows import OrderFactAdmin, RefundAdmin, SaleLineAdmin, SignUpAdmin

__all__ = ["ChartAdmin", "OrderFactAdmin", "RefundAdmin", "SaleLineAdmin", "SignUpAdmin"]
