"""The kit's checks of every metric."""

from fusionkit.testing import conformance

from .common import registry

test_conformance = conformance("metrics", registry=registry())
