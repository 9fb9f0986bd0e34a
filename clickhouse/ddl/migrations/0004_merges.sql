-- Blocks are large: merge ten parts at a time, not five.
ALTER TABLE bronze_frames MODIFY SETTING merge_selector_base = 10;

ALTER TABLE silver_trades MODIFY SETTING merge_selector_base = 10;
