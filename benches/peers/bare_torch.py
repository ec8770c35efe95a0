"""PyTorch, imported: the memory that it takes before it has done anything."""

import torch  # noqa: F401
from serve import serve

if __name__ == "__main__":
    serve(lambda order: lambda: None)
