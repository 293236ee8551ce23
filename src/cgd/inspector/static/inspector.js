"use strict";
const one = document.querySelector("article[data-record]");
const items = [...document.querySelectorAll(".records li")];
const note = document.querySelector(".reviewing textarea");
const token = document.querySelector('meta[name="csrf-token"]').content;
const names = { accept: "accepted", reject: "rejected", "": "" };

/** The record that keys speak of: the page's, or the one whose link has the focus. */
const current = () => one ?? document.activeElement.closest(".records li");

function tell(text, failed = false) {
  const status = document.querySelector("#status");
  status.textContent = text;
  status.classList.toggle("failed", failed);
}

async function save(record, changes) {
  const posted = { record_id: record.dataset.record, verdict: record.dataset.verdict || null, note: record.dataset.note, ...changes };
  try {
    const answer = await fetch("/review", {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrftoken": token },
      body: JSON.stringify(posted),
      keepalive: true,
    });
    const kept = await answer.json();
    if (!answer.ok) throw new Error(kept.error);
    show(record, kept);
    tell(names[kept.verdict ?? ""] || (kept.note ? "note kept" : "review taken back"));
  } catch (error) {
    tell(`not kept: ${error.message}`, true);
  }
}

function show(record, kept) {
  record.dataset.verdict = kept.verdict ?? "";
  record.dataset.note = kept.note;
  for (const button of record.querySelectorAll("button[data-verdict]")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === record.dataset.verdict));
  }
  const badge = record.querySelector(".badge.review");
  if (badge) {
    badge.dataset.review = record.dataset.verdict;
    badge.textContent = names[record.dataset.verdict];
    record.querySelector(".badge.noted").hidden = !kept.note;
  }
}

function judge(verdict) {
  const record = current();
  if (record) save(record, { verdict: record.dataset.verdict === verdict ? null : verdict });
}

function move(step) {
  const place = items.indexOf(document.activeElement.closest(".records li"));
  const next = items[place < 0 ? 0 : place + step];
  if (!one && next) next.querySelector("a").focus();
  else document.querySelector(`a[rel="${step > 0 ? "next" : "prev"}"]`)?.click();
}

function write() {
  if (one) note.focus();
  else current()?.querySelector("a").click();
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  a: () => judge("accept"),
  r: () => judge("reject"),
  n: write,
  "/": () => document.querySelector('input[type="search"]')?.focus(),
  Escape: () => document.querySelector('a[rel="up"]')?.click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key in keys) {
    event.preventDefault();
    keys[event.key]();
  }
});
for (const button of document.querySelectorAll("button[data-verdict]")) {
  button.addEventListener("click", () => judge(button.dataset.verdict));
}
note?.addEventListener("change", () => save(one, { note: note.value }));
