"""Upgrades while the product serves: migrations under old code, processes replaced one by one."""
