'use strict';
// One loop asks for frame after frame; whatever else is wanted is done between two of them.

const $ = (id) => document.getElementById(id);
const KEYS = {
  ArrowLeft: 'LEFT', ArrowRight: 'RIGHT', ArrowUp: 'UP', ArrowDown: 'DOWN',
  KeyA: 'LEFT', KeyD: 'RIGHT', KeyW: 'UP', KeyS: 'DOWN',
};
const PAD = { UP: [2, 1, '▲'], LEFT: [1, 2, '◀'], DOWN: [2, 2, '▼'], RIGHT: [3, 2, '▶'] };
const IDLE = ['NO_ACTION', 'NOOP'];
const TIMEOUT_MS = 15000;
const RETRY_MS = [300, 600, 1200, 2400];

const game = { info: null, id: null, step: 0, seed: 0 };
const held = [];        // Actions of keys and buttons that are down, the latest last.
let tapped = null;      // One that went down since the last frame: a short tap counts as well.
let paused = false;
let wishes = [];        // What is to be done before the next frame.
let wake = () => {};
let times = [];         // When the last frames came.

class Refused extends Error {
  constructor(status, sentence) { super(sentence); this.status = status; }
}

function say(sentence, kind) {
  $('status').textContent = sentence;
  $('status').dataset.kind = kind;
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** One request. Throws Refused for a 4xx answer, anything else where no whole answer came. */
async function request(path, body) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const response = await fetch(path, body === undefined ? { signal: abort.signal } : {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
      signal: abort.signal });
    const answer = await response.json();
    if (response.status >= 500) throw new Error(answer.error);
    if (!response.ok) throw new Refused(response.status, answer.error);
    return answer;
  } finally {
    clearTimeout(timer);
  }
}

/** A request that is made again until it is answered. Steps have numbers, so that none is made twice. */
async function ask(path, body) {
  for (let tries = 0; ; tries += 1) {
    try {
      const answer = await request(path, body);
      if (tries) say('Connected again.', 'told');
      return answer;
    } catch (error) {
      if (error instanceof Refused) throw error;
      times = [];
      $('fps').textContent = '–';
      say(`Connection lost, trying again (${tries + 1}) …`, 'lost');
      await sleep(RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
    }
  }
}

function show(view) {
  game.step = view.step;
  $('model').src = `data:image/png;base64,${view.model}`;
  if (view.real) $('real').src = `data:image/png;base64,${view.real}`;
  $('step').textContent = view.step;
  $('model-ms').textContent = view.model_ms.toFixed(0);
  $('over').hidden = !view.over;
  $('record').textContent = view.recording ? `Stop (${view.recorded})` : 'Record';
  $('record').classList.toggle('on', view.recording);
  $('download').hidden = view.recording || !view.recorded;
  $('download').href = `api/sessions/${game.id}/recording.gif`;
}

function countFrame() {
  times.push(performance.now());
  if (times.length > 31) times.shift();
  const span = times[times.length - 1] - times[0];
  $('fps').textContent = span ? ((times.length - 1) * 1000 / span).toFixed(1) : '–';
}

async function begin() {
  times = [];
  const view = await ask('api/sessions', { seed: game.seed });
  game.id = view.session;
  show(view);
}

const onGame = (what, body) => ask(`api/sessions/${game.id}/${what}`, body);

async function reset() {
  game.seed = Number($('seed').value);
  times = [];
  if (game.id === null) await begin();
  else show(await onGame('reset', { seed: game.seed }));
  say(`Playing seed ${game.seed}.`, 'good');
}

async function record() {
  show(await onGame('record', { on: !$('record').classList.contains('on') }));
}

function nextAction() {
  const idle = game.info.actions.find((name) => IDLE.includes(name)) ?? game.info.actions[0];
  const action = held.length ? held[held.length - 1] : tapped ?? idle;
  tapped = null;
  return action;
}

async function step() {
  const action = nextAction();
  const view = await onGame('step', { step: game.step + 1, action });
  $('action').textContent = action.replace('NO_ACTION', 'none');
  countFrame();
  show(view);
}

/** What the server does not do: go on anew where the game is gone, stop and tell where that would not help. */
async function recover(error) {
  if (error.status === 404) {
    await begin();
    say(`The server was started anew, and so was the game, with seed ${game.seed}.`, 'told');
  } else {
    if (error.status === 410) game.id = null;
    setPaused(true);
    say(`${error.message} Reset begins a new game.`, 'lost');
  }
}

async function play() {
  game.info = await ask('api/info');
  build(game.info);
  await begin();
  say(`Playing seed ${game.seed}.`, 'good');
  let due = 0;
  for (;;) {
    try {
      if (wishes.length) {
        await wishes.shift()();
      } else if (paused || game.id === null) {
        await new Promise((done) => { wake = done; });
      } else {
        const wait = due - performance.now();
        if (wait > 0) await sleep(wait);
        due = Math.max(due, performance.now() - 50) + 1000 / Number($('limit').value);
        await step();
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await recover(error);
    }
  }
}

function wish(what) {
  wishes.push(what);
  wake();
}

function setPaused(value) {
  paused = value;
  times = [];
  $('fps').textContent = '–';
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  $('pause').classList.toggle('held', paused);
  wake();
}

function press(action) {
  release(action);
  held.push(action);
  tapped = action;
  mark();
}

function release(action) {
  const at = held.indexOf(action);
  if (at >= 0) held.splice(at, 1);
  mark();
}

function mark() {
  for (const button of $('pad').children) {
    button.classList.toggle('held', button.dataset.action === held[held.length - 1]);
  }
}

function build(info) {
  const steered = info.actions.filter((name) => !IDLE.includes(name));
  const plain = steered.some((name) => !(name in PAD));
  $('pad').classList.toggle('plain', plain);
  for (const name of steered) {
    const button = document.createElement('button');
    button.type = 'button';
    button.dataset.action = name;
    button.title = name;
    button.textContent = name;
    if (!plain) {
      [button.style.gridColumn, button.style.gridRow, button.textContent] = PAD[name];
    }
    button.addEventListener('pointerdown', (event) => { event.preventDefault(); press(name); });
    for (const kind of ['pointerup', 'pointercancel', 'pointerleave']) {
      button.addEventListener(kind, () => release(name));
    }
    $('pad').append(button);
  }
  $('real-figure').hidden = !info.real;
  game.seed = info.seed;
  $('seed').value = info.seed;
  const limits = [...$('limit').options].map((option) => Number(option.value));
  $('limit').value = limits.reduce((best, each) => Math.abs(each - info.fps) < Math.abs(best - info.fps) ? each : best);
  const resize = () => {
    const room = Math.min((document.body.clientWidth - 56) / (info.real ? 2 : 1), 480);
    const across = Math.min(room, 480 * info.width / info.height) / info.width;
    const scale = across >= 1 ? Math.floor(across) : across;   // Whole pixels where there is room for them.
    for (const image of [$('model'), $('real')]) {
      image.style.width = `${info.width * scale}px`;
      image.style.height = `${info.height * scale}px`;
    }
  };
  window.addEventListener('resize', resize);
  resize();
}

window.addEventListener('keydown', (event) => {
  if (event.target.matches('input, select') || event.ctrlKey || event.altKey || event.metaKey) return;
  const action = KEYS[event.code];
  if (action && game.info?.actions.includes(action)) {
    if (!event.repeat) press(action);
  } else if (event.repeat) {
    return;
  } else if (event.code === 'Space' || event.code === 'KeyP') {
    setPaused(!paused);
  } else if (event.code === 'KeyR') {
    wish(reset);
  } else {
    return;
  }
  event.preventDefault();   // No scrolling, and no pressing of the button that was clicked last.
});
window.addEventListener('keyup', (event) => {
  if (KEYS[event.code]) release(KEYS[event.code]);
  if (event.code === 'Space' && !event.target.matches('input, select')) event.preventDefault();
});
window.addEventListener('blur', () => { held.length = 0; mark(); });   // Keys let go elsewhere are never heard of.

$('pause').addEventListener('click', () => setPaused(!paused));
$('record').addEventListener('click', () => wish(record));
$('limit').addEventListener('change', () => { times = []; $('limit').blur(); });
$('form').addEventListener('submit', (event) => {
  event.preventDefault();
  document.activeElement.blur();   // The arrows steer again instead of counting the seed up.
  wish(reset);
});

play().catch((error) => say(`The page stopped: ${error.message}`, 'lost'));
