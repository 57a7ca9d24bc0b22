"""Sequence labelling: the linear-chain CRF (`crf`), and labels that spell spans (`spans`)."""
