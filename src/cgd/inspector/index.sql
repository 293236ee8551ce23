-- What a run's records are filtered by, made from its store and made again at will. An entry whose texts change has a
-- new id, so that the words of the old one are found no more.
CREATE TABLE IF NOT EXISTS entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE, stamp TEXT NOT NULL, record_id TEXT NOT NULL, draft_key TEXT NOT NULL,
  title TEXT NOT NULL,
  answer_in_critique INTEGER, solution_in_critique INTEGER NOT NULL, meta_talk INTEGER NOT NULL,
  specific INTEGER NOT NULL, verdict TEXT, unchanged INTEGER NOT NULL,
  position INTEGER, draft_right INTEGER, refinement_right INTEGER);
CREATE INDEX IF NOT EXISTS entries_position ON entries(position);
