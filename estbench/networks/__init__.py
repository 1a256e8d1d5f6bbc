"""Small networks with discrete variables, several seeds side by side, whose exact gradient can be had."""
