-- Tables of a run's store. `spent_` columns add up all attempts at a row, the other ones tell of the last.
CREATE TABLE prompts (
  id TEXT PRIMARY KEY, messages TEXT NOT NULL, answer TEXT, solution TEXT, source TEXT NOT NULL, meta TEXT NOT NULL);
CREATE TABLE replies (
  key TEXT PRIMARY KEY,
  stage TEXT NOT NULL,
  prompt_id TEXT NOT NULL REFERENCES prompts(id),
  upstream_key TEXT NOT NULL,
  sample INTEGER NOT NULL,
  messages TEXT NOT NULL,
  backend TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('done', 'failed', 'truncated')),
  text TEXT,
  raw TEXT,
  parser TEXT NOT NULL,
  finish_reason TEXT,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  latency_s REAL NOT NULL,
  server TEXT NOT NULL,
  broken INTEGER NOT NULL,
  error_class TEXT,
  error TEXT,
  attempts INTEGER NOT NULL DEFAULT 1,
  spent_prompt_tokens INTEGER NOT NULL,
  spent_completion_tokens INTEGER NOT NULL,
  spent_cost REAL NOT NULL,
  stored_at REAL NOT NULL);
CREATE TABLE current (
  stage TEXT NOT NULL, task TEXT NOT NULL, arm TEXT NOT NULL, seed INTEGER NOT NULL, position INTEGER NOT NULL,
  key TEXT NOT NULL, prompt_id TEXT NOT NULL,
  PRIMARY KEY (stage, task, arm, seed, position));
CREATE INDEX current_key ON current(key);
CREATE TABLE grades (
  key TEXT PRIMARY KEY REFERENCES replies(key),
  grader TEXT NOT NULL, strict INTEGER, flexible INTEGER, format INTEGER NOT NULL,
  extracted TEXT, reason TEXT NOT NULL);
CREATE TABLE drops (record_id TEXT NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE checkpoints (
  arm TEXT NOT NULL, seed INTEGER NOT NULL, info TEXT NOT NULL, PRIMARY KEY (arm, seed));
