/** Writes effects and messages as lines of a story, and reads messages back. */
import type { Effect, HandoverCause, NodeId, PeerMessage } from '../types.ts';

/** `COORDINATOR epoch 2`, `STATUS fit coordinator 5 epoch 1`, … */
export function messageText(message: PeerMessage): string {
  const name = message.type.toUpperCase();
  switch (message.type) {
    case 'election':
    case 'ok':
      return `${name} round ${message.round}`;
    case 'coordinator':
    case 'handover':
    case 'refused':
      return `${name} epoch ${message.epoch}`;
    case 'released':
      return `${name} epoch ${message.epoch} ${message.cause}`;
    case 'status':
      return `${name} ${message.fit ? 'fit' : 'unfit'} coordinator ${message.coordinator ?? 'none'} epoch ${message.epoch}`;
  }
}

/** The inverse of {@link messageText}. */
export function parseMessage(text: string): PeerMessage {
  const [name, ...words] = text.split(' ');
  const number = (word: string) => Number(words[words.indexOf(word) + 1]);
  switch (name) {
    case 'ELECTION':
    case 'OK':
      return { type: name === 'OK' ? 'ok' : 'election', round: number('round') };
    case 'COORDINATOR':
      return { type: 'coordinator', epoch: number('epoch') };
    case 'HANDOVER':
      return { type: 'handover', epoch: number('epoch') };
    case 'REFUSED':
      return { type: 'refused', epoch: number('epoch') };
    case 'RELEASED':
      return { type: 'released', epoch: number('epoch'), cause: words[2] as HandoverCause };
    case 'STATUS': {
      const coordinator = words.includes('none') ? null : number('coordinator');
      return { type: 'status', fit: words[0] === 'fit', coordinator, epoch: number('epoch') };
    }
    default:
      throw new Error(`"${text}" is no message`);
  }
}

/**
 * Describes what a node did in one step, one line an effect. A message to several nodes is one
 * line.
 */
export function describeEffects(id: NodeId, effects: readonly Effect[], showGossip: boolean): string[] {
  const lines: string[] = [];
  const sent = new Map<string, NodeId[]>();
  for (const effect of effects) {
    if (effect.type !== 'send') continue;
    const text = messageText(effect.message);
    const receivers = sent.get(text);
    if (receivers !== undefined) receivers.push(effect.to);
    else sent.set(text, [effect.to]);
  }
  for (const effect of effects) {
    if (effect.type === 'send') {
      const text = messageText(effect.message);
      const to = sent.get(text)?.join(' ');
      sent.delete(text);
      if (to !== undefined && (showGossip || effect.message.type !== 'status'))
        lines.push(`${id} → ${to}: ${text}`);
      continue;
    }
    const line = describe(effect);
    if (line !== undefined) lines.push(`${id} ${line}`);
  }
  return lines;
}

function describe(effect: Exclude<Effect, { type: 'send' }>): string | undefined {
  switch (effect.type) {
    case 'setTimer':
      return effect.timer === 'status' ? undefined : `waits: ${effect.timer}`;
    case 'clearTimer':
      return undefined;
    case 'claim':
      return `asks the fence (${effect.cause})`;
    case 'release':
      return `finishes its batch to release epoch ${effect.epoch}`;
    case 'stepDown':
      return `steps down from epoch ${effect.epoch} at once`;
    case 'lead':
      return `leads epoch ${effect.epoch} (${effect.cause})`;
    case 'follow':
      return `follows ${effect.coordinator} in epoch ${effect.epoch}`;
    case 'seek':
      return 'seeks a coordinator';
    case 'stopped':
      return 'has stopped';
  }
}
