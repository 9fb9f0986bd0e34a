-- Checkpoints of bars: where a round goes on.
ALTER TABLE bars
    ADD COLUMN IF NOT EXISTS checkpoint String CODEC(ZSTD(1))
        COMMENT 'state of the fold at its end, to go on from; empty at most bars' AFTER day_mark;
