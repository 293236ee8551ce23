-- A done reply is never replaced; at a failed one the attempts and what they cost add up.
INSERT INTO replies (key, stage, prompt_id, upstream_key, sample, messages, backend, state, text, raw, parser,
  finish_reason, prompt_tokens, completion_tokens, latency_s, server, broken, error_class, error,
  spent_prompt_tokens, spent_completion_tokens, spent_cost, stored_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  state = excluded.state, text = excluded.text, raw = excluded.raw, parser = excluded.parser,
  finish_reason = excluded.finish_reason, prompt_tokens = excluded.prompt_tokens,
  completion_tokens = excluded.completion_tokens, latency_s = excluded.latency_s, server = excluded.server,
  broken = excluded.broken, error_class = excluded.error_class, error = excluded.error, stored_at = excluded.stored_at,
  attempts = attempts + 1, spent_cost = spent_cost + excluded.spent_cost,
  spent_prompt_tokens = spent_prompt_tokens + excluded.spent_prompt_tokens,
  spent_completion_tokens = spent_completion_tokens + excluded.spent_completion_tokens
WHERE replies.state = 'failed'
