-- Views of a run's store, which hold nothing and replace those of an older version; and tables that older stores lack.
CREATE TABLE IF NOT EXISTS scores (
  key TEXT PRIMARY KEY, record_id TEXT NOT NULL, model TEXT NOT NULL, target TEXT NOT NULL, context TEXT NOT NULL,
  tokens TEXT NOT NULL, log_p TEXT NOT NULL, entropy TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS scores_record ON scores(record_id);
CREATE TABLE IF NOT EXISTS reviews (
  record_id TEXT PRIMARY KEY, verdict TEXT CHECK (verdict IN ('accept', 'reject')), note TEXT NOT NULL,
  reviewed_at REAL NOT NULL);
DROP VIEW IF EXISTS records;
CREATE VIEW records AS
  SELECT p.id AS prompt_id, p.messages AS prompt, d.text AS draft, c.text AS critique, r.text AS refinement,
         p.solution, p.answer, d.key AS draft_key, c.key AS critique_key, r.key AS refinement_key
  FROM current AS u
  JOIN replies AS r ON u.stage = 'refinement' AND u.task = '' AND r.key = u.key
  JOIN replies AS c ON c.key = r.upstream_key
  JOIN replies AS d ON d.key = c.upstream_key
  JOIN prompts AS p ON p.id = r.prompt_id
  ORDER BY u.position;
DROP VIEW IF EXISTS graded;
CREATE VIEW graded AS
  SELECT u.stage, u.task, u.arm, u.seed, u.position, u.prompt_id, u.key, r.sample, p.messages AS prompt,
         p.answer AS gold, json_extract(p.meta, '$.known_issue') AS known_issue, r.state, r.text, r.prompt_tokens,
         r.completion_tokens, r.latency_s, r.upstream_key, r.error_class, g.strict, g.flexible, g.format, g.extracted,
         g.reason
  FROM current AS u
  JOIN prompts AS p ON p.id = u.prompt_id
  LEFT JOIN replies AS r ON r.key = u.key
  LEFT JOIN grades AS g ON g.key = u.key
  ORDER BY u.task, u.arm, u.seed, u.position;
DROP VIEW IF EXISTS predictions;
CREATE VIEW predictions AS SELECT * FROM graded WHERE stage = 'prediction';
DROP VIEW IF EXISTS checkpoint_predictions;
CREATE VIEW checkpoint_predictions AS SELECT * FROM graded WHERE stage = 'checkpoint';
DROP VIEW IF EXISTS self_refinements;
CREATE VIEW self_refinements AS
  SELECT g.*, g.sample AS round, c.text AS critique, c.upstream_key AS draft_key,
         c.prompt_tokens AS critique_prompt_tokens, c.completion_tokens AS critique_tokens
  FROM graded AS g JOIN replies AS c ON c.key = g.upstream_key
  WHERE g.stage = 'self_refinement';
