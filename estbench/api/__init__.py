"""The Python interface: what `import estbench` offers, on live objects instead of names in a config."""
