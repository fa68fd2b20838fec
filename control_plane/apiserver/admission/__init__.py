"""What may be written, and how it is completed on the way: the plugins, put together by
`chain.build_admission`."""
