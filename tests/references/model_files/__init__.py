"""Files that `Model.save` wrote, and the script that stored them."""
