"""One module per table, or group of tables. Importing this package imports them all, so that Base knows them."""

import importlib
import pkgutil

for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
    importlib.import_module(module.name)
