"""What several methods share: couplings, proxies, critics, tables. Methods stand in the folders of their families."""
