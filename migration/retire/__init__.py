"""The end of what is left behind: exactly the retire list, in an order AWS takes."""
