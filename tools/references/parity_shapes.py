"""Presses that shape another one's choice: by chunks, by blocks."""

from kvpress import (
    BlockPress, ChunkKVPress, ChunkPress, EntropyGatedChunkKVPress, ExpectedAttentionPress, KeyDiffPress, KnormPress,
    SnapKVPress, TOVAPress,
)

from parity import SMALL, Case


class ChunkPressOfItsOwnPositions(ChunkPress):
    """kvpress gives every chunk the cosines and sines of the end of the text, so that SnapKV's and TOVA's queries stand at
    other positions than their tokens. Here each chunk is given its own."""

    def compress(self, module, hidden_states, keys, values, attentions, kwargs):
        scorer, start, whole = self.press, 0, kwargs["position_embeddings"]
        original = scorer.score

        def score(module, hidden_states, keys, values, attentions, kwargs):
            nonlocal start
            own = tuple(table[:, start : start + keys.shape[2]] for table in whole)
            start += keys.shape[2]
            return original(module, hidden_states, keys, values, attentions, kwargs | {"position_embeddings": own})

        scorer.score = score
        try:
            return super().compress(module, hidden_states, keys, values, attentions, kwargs)
        finally:
            scorer.score = original

def expected(ratio: float) -> ExpectedAttentionPress:
    return ExpectedAttentionPress(ratio, epsilon=0.01, use_vnorm=False)


EXPECTED = "expected_attention(epsilon=0.01, use_vnorm=false)"

CASES = [
    Case("chunk_knorm", "chunk(knorm, chunk_length=50)", lambda r: ChunkPress(KnormPress(r), chunk_length=50),
         first_slack=12),  # repeated words have keys of the same norm there
    Case("chunk_snapkv", "chunk(snapkv(window_size=4), chunk_length=40)",
         lambda r: ChunkPressOfItsOwnPositions(SnapKVPress(r, window_size=4), chunk_length=40)),
    Case("chunk_tova", "chunk(tova, chunk_length=100)",
         lambda r: ChunkPressOfItsOwnPositions(TOVAPress(r), chunk_length=100)),
    Case("chunk_keydiff", "chunk(keydiff)", lambda r: ChunkPress(KeyDiffPress(r)), models=SMALL),
    Case("block", "block", lambda r: BlockPress(KeyDiffPress(r))),
    Case("block_knorm", "block(knorm, block_size=13)", lambda r: BlockPress(KnormPress(r), block_size=13),
         models=SMALL),
    Case("block_small", "block(block_size=17)", lambda r: BlockPress(KeyDiffPress(r), block_size=17)),
    Case("chunkkv", "chunkkv", lambda r: ChunkKVPress(SnapKVPress(r)), models=("smollm2",)),
    Case("chunkkv_small", "chunkkv(snapkv(window_size=16))", lambda r: ChunkKVPress(SnapKVPress(r, window_size=16)),
         models=SMALL),
    Case("chunkkv_knorm", "chunkkv(knorm, chunk_length=7)", lambda r: ChunkKVPress(KnormPress(r), chunk_length=7)),
    Case("chunkkv_short", "chunkkv(knorm, chunk_length=600)", lambda r: ChunkKVPress(KnormPress(r), chunk_length=600),
         models=SMALL),
    Case("entropy_gated", "entropy_gated_chunkkv", lambda r: EntropyGatedChunkKVPress(SnapKVPress(r)),
         models=("smollm2",)),
    Case("entropy_gated_small", "entropy_gated_chunkkv(snapkv(window_size=16))",
         lambda r: EntropyGatedChunkKVPress(SnapKVPress(r, window_size=16)), models=SMALL),
    Case("entropy_gated_knorm", "entropy_gated_chunkkv(knorm, chunk_length=7, low_entropy_chunk_length=2)",
         lambda r: EntropyGatedChunkKVPress(KnormPress(r), chunk_length=7, low_entropy_chunk_length=2)),
    Case("entropy_gated_expected",
         f"entropy_gated_chunkkv({EXPECTED}, chunk_length=25, low_entropy_chunk_length=5)",
         lambda r: EntropyGatedChunkKVPress(expected(r), chunk_length=25, low_entropy_chunk_length=5)),
]
