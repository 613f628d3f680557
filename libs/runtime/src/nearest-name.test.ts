import assert from 'node:assert/strict';
import { it } from 'node:test';
import { nearestName } from './nearest-name.ts';

it('a misspelt name finds the name that was meant', () => {
  const known = ['from', 'to', 'bucket', 'limit', 'cursor', 'amountMinor', 'MQTT_PORT', 'HTTP_PORT'];
  for (const [slip, meant] of [
    ...[
      ['form', 'from'],
      ['fromm', 'from'],
      ['buckets', 'bucket'],
      ['Limit', 'limit'],
    ],
    ...[
      ['amount_minor', 'amountMinor'],
      ['amount', 'amountMinor'],
      ['MQTT_PROT', 'MQTT_PORT'],
    ],
  ] as const)
    assert.equal(nearestName(slip, known), meant, slip);
});

it('a name that is near to none gets no suggestion', () => {
  for (const name of ['colour', '', 'x', 'zz', 'q'.repeat(65)])
    assert.equal(nearestName(name, ['from', 'to', 'bucket', 'limit']), undefined, name);
  assert.equal(nearestName('from', []), undefined);
});
