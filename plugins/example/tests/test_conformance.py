from fusionkit.testing import conformance

test_conformance = conformance("example")
# A weak prior: told of more noise than there is, it smooths more, which a smooth image likes.
test_sampling = conformance("example-sampling", waive=("denoises_a_smooth_image",))
