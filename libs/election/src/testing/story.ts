/**
 * Runs the trace scripts of `testdata/`: a few nodes whose messages arrive at once. The script
 * decides when timers fire, what the fence answers, and which processes and links fail. README.md
 * lists the sentences.
 */
import assert from 'node:assert/strict';
import { carryOut, type Sentence } from '@thermomesh/testing';
import { step } from '../bully.ts';
import { describeEffects, messageText, parseMessage } from './prose.ts';
import type { Effect, ElectionEvent, NodeId, NodeState, PeerMessage } from '../types.ts';
import { defaultElectionLimits, timerNames } from '../types.ts';
import { initialState, isConnected } from '../views.ts';

/**
 * The nodes of one story. `tell` carries out a sentence and returns a line for each thing that
 * happened.
 */
export class Story {
  readonly #nodes = new Map<NodeId, NodeState>();
  readonly #all: NodeId[] = [];
  readonly #dead = new Set<NodeId>();
  readonly #hung = new Map<NodeId, ElectionEvent[]>();
  readonly #cut = new Set<string>();
  readonly #lose: string[] = [];
  readonly #wire: { from: NodeId; to: NodeId; message: PeerMessage }[] = [];
  #lines: string[] = [];
  #showGossip = false;

  tell(sentence: string): string[] {
    this.#lines = [];
    carryOut(this.#sentences, sentence);
    return this.#lines;
  }

  readonly #sentences: Sentence<void>[] = [
    [
      /^(\d) nodes, (\d) leads epoch (\d+)$/,
      (count, leader, epoch) => {
        this.#stage(Number(count), Number(leader), Number(epoch));
      },
    ],
    [
      /^(\d) nodes$/,
      (count) => {
        this.#enlist(Number(count));
      },
    ],
    [
      /^show gossip$/,
      () => {
        this.#showGossip = true;
      },
    ],
    [
      /^(\d) dies$/,
      (node) => {
        this.#dead.add(Number(node));
      },
    ],
    [
      /^([\d ]+) notices?$/,
      (nodes) => {
        this.#notice(numbers(nodes));
      },
    ],
    [
      /^([\d ]+) finds? (\d) silent$/,
      (nodes, hung) => {
        numbers(nodes).forEach((node) => {
          this.#miss(node, Number(hung));
        });
      },
    ],
    [
      /^(\d) starts( unfit)?$/,
      (node, unfit) => {
        this.#start(Number(node), unfit === '');
      },
    ],
    [
      /^(\d) comes back( unfit)?$/,
      (node, unfit) => {
        this.#notice(this.#all.filter((id) => !this.#dead.has(id)));
        this.#start(Number(node), unfit === '');
        this.#linkAll();
      },
    ],
    [
      /^all nodes are linked$/,
      () => {
        this.#linkAll();
      },
    ],
    [
      /^the link (\d)-(\d) is cut$/,
      (a, b) => {
        this.#cut.add(`${a}-${b}`).add(`${b}-${a}`);
      },
    ],
    [
      /^the link (\d)-(\d) heals$/,
      (a, b) => {
        this.#cut.delete(`${a}-${b}`);
        this.#cut.delete(`${b}-${a}`);
        this.#linkAll();
      },
    ],
    [
      /^(\d) hangs$/,
      (node) => {
        this.#hung.set(Number(node), []);
      },
    ],
    [
      /^(\d) wakes$/,
      (node) => {
        this.#wake(Number(node));
      },
    ],
    [
      /^the next (\w+) from (\d) to (\d) is lost$/,
      (type, from, to) => {
        this.#lose.push(`${type} ${from}-${to}`);
      },
    ],
    [
      /^(\d) hears from (\d): (.+)$/,
      (node, from, text) => {
        this.#feed(Number(node), { type: 'message', from: Number(from), message: parseMessage(text) });
      },
    ],
    [
      /^(\d) wins epoch (\d+)$/,
      (node, epoch) => {
        this.#feed(Number(node), { type: 'claimWon', epoch: Number(epoch) });
      },
    ],
    [
      /^the fence tells (\d) that (\d) holds epoch (\d+)$/,
      (node, holder, epoch) => {
        this.#feed(Number(node), { type: 'claimHeld', holder: Number(holder), epoch: Number(epoch) });
      },
    ],
    [
      /^the fence does not answer (\d)$/,
      (node) => {
        this.#feed(Number(node), { type: 'claimFailed' });
      },
    ],
    [
      /^(\d) is deposed by (\d) in epoch (\d+)$/,
      (node, holder, epoch) => {
        this.#feed(Number(node), { type: 'deposed', holder: Number(holder), epoch: Number(epoch) });
      },
    ],
    [
      /^(\d)'s (\w+) timer fires$/,
      (node, timer) => {
        this.#fire(Number(node), timer);
      },
    ],
    [
      /^(\d) becomes (un)?fit$/,
      (node, un) => {
        this.#feed(Number(node), { type: 'fitnessChanged', fit: un === '' });
      },
    ],
    [
      /^(\d) has released epoch (\d+)$/,
      (node, epoch) => {
        this.#feed(Number(node), { type: 'released', epoch: Number(epoch) });
      },
    ],
    [
      /^(\d) stops$/,
      (node) => {
        this.#feed(Number(node), { type: 'stop' });
      },
    ],
  ];

  #node(id: NodeId): NodeState {
    const node = this.#nodes.get(id);
    assert.ok(node, `node ${id} is not in the story`);
    return node;
  }

  #enlist(count: number): void {
    for (let id = 1; id <= count; id++) this.#all.push(id);
  }

  /**
   * Starts all nodes, links them and lets the named one win. The lines of this preparation are not
   * part of the story.
   */
  #stage(count: number, leader: NodeId, epoch: number): void {
    this.#enlist(count);
    for (const id of this.#all) this.#start(id, id === leader);
    this.#linkAll();
    this.#fire(leader, 'settle');
    this.#feed(leader, { type: 'claimWon', epoch });
    for (const id of this.#all) this.#feed(id, { type: 'fitnessChanged', fit: true });
    this.#lines = [];
  }

  #start(id: NodeId, fit: boolean): void {
    this.#dead.delete(id);
    this.#nodes.set(
      id,
      initialState(
        id,
        this.#all.filter((other) => other !== id),
        defaultElectionLimits,
      ),
    );
    this.#feed(id, { type: 'start', fit });
  }

  #linkAll(): void {
    for (const a of this.#nodes.keys()) {
      for (const b of this.#nodes.keys()) {
        if (!this.#reaches(a, b) || isConnected(this.#node(a), b)) continue;
        this.#feed(a, { type: 'peerUp', peer: b }, false);
      }
    }
    this.#deliver();
  }

  #notice(ids: NodeId[]): void {
    for (const id of ids) {
      for (const other of this.#all) {
        if (other !== id && !this.#reaches(id, other)) this.#miss(id, other);
      }
    }
  }

  #miss(id: NodeId, other: NodeId): void {
    if (isConnected(this.#node(id), other)) this.#feed(id, { type: 'peerDown', peer: other });
  }

  #fire(id: NodeId, timer: string): void {
    const name = timerNames.find((known) => known === timer);
    assert.ok(
      name !== undefined && this.#node(id).timers[name] !== undefined,
      `no ${timer} timer runs at ${id}`,
    );
    this.#feed(id, { type: 'timer', timer: name });
  }

  #wake(id: NodeId): void {
    const missed = this.#hung.get(id) ?? [];
    this.#hung.delete(id);
    for (const event of missed) this.#feed(id, event, false);
    this.#deliver();
  }

  #reaches(a: NodeId, b: NodeId): boolean {
    return a !== b && !this.#dead.has(a) && !this.#dead.has(b) && !this.#cut.has(`${a}-${b}`);
  }

  #feed(id: NodeId, event: ElectionEvent, deliver = true): void {
    if (this.#dead.has(id)) return;
    const missed = this.#hung.get(id);
    if (missed !== undefined) {
      missed.push(event);
      return;
    }
    const [after, effects] = step(this.#node(id), event);
    this.#nodes.set(id, after);
    this.#lines.push(...describeEffects(id, effects, this.#showGossip));
    effects.forEach((effect) => {
      this.#post(id, effect);
    });
    if (deliver) this.#deliver();
  }

  #post(from: NodeId, effect: Effect): void {
    if (effect.type !== 'send') return;
    const { to, message } = effect;
    const lost = this.#lose.indexOf(`${messageText(message).split(' ')[0]} ${from}-${to}`);
    if (lost >= 0) this.#lose.splice(lost, 1);
    else this.#wire.push({ from, to, message });
  }

  #deliver(): void {
    for (let mail = this.#wire.shift(); mail !== undefined; mail = this.#wire.shift()) {
      const { from, to, message } = mail;
      if (this.#reaches(from, to)) this.#feed(to, { type: 'message', from, message }, false);
    }
  }
}

function numbers(words: string): number[] {
  return words.trim().split(/\s+/).map(Number);
}
