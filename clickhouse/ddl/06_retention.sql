-- How long each table keeps rows after they were stored, in days, 0 for ever, as the settings
-- CANDLEWAX_KEEP_... were last applied; and the time since which no row was dropped. That one is later
-- than the days say while a longer retention is younger than the rows that it would have kept.
CREATE VIEW IF NOT EXISTS retention AS
SELECT
    table,
    days,
    fromUnixTimestamp64Micro(whole_since_us, 'UTC') AS whole_since,
    greatest(whole_since, if(days = 0, whole_since, now64(6, 'UTC') - toIntervalDay(days))) AS since
FROM VALUES(
    'table String, days UInt32, whole_since_us Int64',
    ('bronze_frames', 7, 0), ('silver_trades', 30, 0), ('dead_letters', 30, 0), ('ohlcv', 0, 0),
    ('ohlcv_revisions', 0, 0)
)
COMMENT 'replaced when settings change';
