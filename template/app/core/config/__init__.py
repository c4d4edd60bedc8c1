"""One settings class per file, each with a cached `get_..._settings()`."""
