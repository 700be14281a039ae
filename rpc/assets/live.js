// Keeps a page up to date. Without it pages are complete, and a line at their end shows their time.
//
// The attributes of <main> select the mode:
//   data-live="poll"    fetch the page every two seconds and replace its <main>
//   data-live="stream"  receive blocks as Server-Sent Events and add them on top of the table. Every two seconds, replace
//                       the elements with data-part by those of the page at data-pulse; this also shows whether the
//                       node still responds. If the node refuses a stream, poll the page.
// The line #live says whether the page is live, and if not, since when. A hidden tab sends no
// requests.

import { checkReceipt } from "./receipt.js";

const EVERY_MS = 2000, LONGEST_PAUSE_MS = 10000, TIMEOUT_MS = 5000, RETRY_STREAM_MS = 30000;

const line = document.querySelector("#live");

/** @type {EventSource | null} The stream of blocks, at most one. */
let stream = null;
/** Whether it was interrupted: blocks may be missing in the table, and another node may serve the address now. */
let interrupted = false;
/** When to request a stream again after the node refused one. */
let noStreamBefore = 0;
/** Timer of the next fetch. */
let timer = 0;
/** @type {AbortController | null} The request in flight, at most one. */
let asking = null;
/** Number of consecutive failed fetches. */
let failures = 0;
/** @type {Date | null} Since when the page may be out of date. */
let staleSince = null;

const main = () => document.querySelector("main");
const mode = () => main().dataset.live;

// --- The line that says whether the page is live --------------------------------------------------------------------

/** @param {string} how how the page is kept up to date */
function live(how) {
  staleSince = null;
  show("on", `● live, ${how}`);
  main().classList.remove("stale");
}

/** @param {string} why */
function notLive(why) {
  staleSince ??= new Date();
  show("off", `○ not live since ${staleSince.toLocaleTimeString()}: ${why}`);
  main().classList.add("stale");
}

/** Changes the line only if its text differs, because screen readers read every change aloud. */
function show(state, text) {
  if (line.textContent !== text) line.textContent = text;
  line.className = `live ${state}`;
}

// --- Fetching a page and replacing what is shown --------------------------------------------------------------------

/** @param {number} wait milliseconds until the next fetch */
function lookIn(wait) {
  clearTimeout(timer);
  if (mode() && !document.hidden) timer = setTimeout(look, wait);
}

async function look() {
  if (asking || document.hidden || !mode()) return;
  const request = asking = new AbortController();
  const giveUp = setTimeout(() => request.abort(), TIMEOUT_MS);
  let wait = EVERY_MS;
  try {
    const partly = stream !== null && !interrupted;
    const response = await fetch(partly ? main().dataset.pulse : location.href, {
      signal: request.signal, headers: { accept: "text/html" }, cache: "no-store",
    });
    const text = await response.text();
    // The page of an unknown transaction is valid: the transaction may be known later.
    if (!response.ok && response.status !== 404) {
      wait = 1000 * Number(response.headers.get("retry-after") ?? 0);
      throw new Error(`the node responds with status ${response.status}`);
    }
    failures = 0;
    const isPage = response.headers.get("content-type")?.startsWith("text/html");
    const isOpen = stream?.readyState === EventSource.OPEN;
    if (isPage && !replace(text, partly)) notLive("paused while text is selected");
    else if (!mode()) show("", "");
    else if (!partly) live("every 2 s");
    else if (isOpen) live("block by block");
    if (!partly && isOpen) interrupted = false;
    begin();
  } catch (error) {
    failures += 1;
    wait = Math.max(wait, Math.min(EVERY_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS));
    const silent = error instanceof TypeError || request.signal.aborted;
    if (!document.hidden) notLive(silent ? "the node does not respond" : error.message);
  } finally {
    clearTimeout(giveUp);
    if (asking === request) asking = null;
    lookIn(wait);
  }
}

/**
 * @param {string} text a page
 * @param {boolean} partly whether to replace only the elements with data-part
 * @returns {boolean} whether it was replaced
 */
function replace(text, partly) {
  const fetched = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  if (fetched && fetched.dataset.chain !== main().dataset.chain) location.reload(); // another network at this address
  // Do not replace text that the user has selected.
  if (!fetched || !getSelection().isCollapsed) return false;
  const pairs = partly
    ? [...fetched.querySelectorAll("[data-part]")].map((part) => [document.getElementById(part.id), part])
    : [[main(), fetched]];
  for (const [old, fresh] of pairs) {
    if (!old) continue;
    for (const details of old.querySelectorAll("details[id][open]")) {
      fresh.querySelector(`#${details.id}`)?.setAttribute("open", "");
    }
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const link = focus?.getAttribute("href");
    old.replaceWith(document.adoptNode(fresh));
    const same = focus?.id ? `#${focus.id}` : link ? `a[href="${CSS.escape(link)}"]` : null;
    if (same) (fresh.matches(same) ? fresh : fresh.querySelector(same))?.focus({ preventScroll: true });
  }
  if (!partly) checkReceipt();
  return true;
}

// --- The stream of blocks -------------------------------------------------------------------------------------------

/** Begins the stream if the page has that mode, there is none, and the node has not just refused one. */
function begin() {
  if (mode() !== "stream" || stream || document.hidden || Date.now() < noStreamBefore) return;
  const source = stream = new EventSource(`/stream?from_height=${main().dataset.next}&full=false`);
  interrupted = false;
  source.addEventListener("open", () => (interrupted ? lookIn(0) : live("block by block")));
  source.addEventListener("block", (event) => put(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    if (stream !== source) return;
    if (source.readyState === EventSource.CLOSED) { // refused, perhaps because of the limit of streams
      end();
      noStreamBefore = Date.now() + RETRY_STREAM_MS;
    } else {
      interrupted = true; // the browser reconnects
    }
    lookIn(0); // fetch the whole page from now on
  });
}

function end() {
  stream?.close();
  stream = null;
}

/**
 * Adds a block on top of the table, and shows its height as the head.
 * @param {object} block as of `chain_block`
 */
function put({ header, hash, certificate }) {
  const table = document.querySelector("#blocks tbody"), form = document.querySelector("#block-row");
  const head = document.querySelector("#head");
  if (head) Object.assign(head, { textContent: header.height, href: `/blocks/${header.height}` });
  main().dataset.next = header.height + 1;
  if (!table || !form || Number(table.firstElementChild?.dataset.height ?? -1) >= header.height) return;
  const row = form.content.firstElementChild.cloneNode(true);
  const set = (name, text, more = {}) =>
    Object.assign(row.querySelector(`[data-field=${name}]`), { textContent: text, ...more });
  const time = new Date(header.timestamp_ms).toISOString(), [date, clock] = time.replace("Z", "").split("T");
  row.dataset.height = header.height;
  row.className = "new";
  set("height", header.height, { href: `/blocks/${header.height}` });
  set("hash", hash, { title: hash });
  row.querySelector("time").dateTime = time;
  set("date", date);
  set("clock", clock);
  set("transactions", header.transaction_count);
  set("size", bytes(header.body_bytes));
  // The page knows the members of one epoch. In another epoch, the index means another member.
  const { epoch, members } = main().dataset;
  const names = Number(epoch) === header.epoch ? members.split(" ") : [];
  set("proposer", names[header.proposer] ?? `member ${header.proposer}`);
  set("view", certificate?.view ?? "");
  const most = Number(table.dataset.rows ??= table.childElementCount < 20 ? 20 : table.childElementCount);
  table.prepend(row);
  while (table.childElementCount > most) table.lastElementChild.remove();
}

/** Formats a size like the pages do. */
function bytes(count) {
  if (count < 1024) return `${count} B`;
  const [unit, name] = count < 1024 ** 2 ? [1024, "KiB"] : [1024 ** 2, "MiB"];
  return `${(Math.floor((count * 10) / unit) / 10).toFixed(1)} ${name}`;
}

// --- Hiding and showing the tab -------------------------------------------------------------------------------------

function pause() {
  clearTimeout(timer);
  asking?.abort();
  end();
}

/** The page is out of date: fetch it first, then continue from there. */
function resume() {
  failures = 0;
  if (mode()) look();
}

document.addEventListener("visibilitychange", () => (document.hidden ? pause() : resume()));
addEventListener("pagehide", pause);
addEventListener("pageshow", (event) => event.persisted && resume());

checkReceipt();
if (mode() === "poll") live("every 2 s");
begin();
lookIn(EVERY_MS);
