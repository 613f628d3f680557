import assert from 'node:assert/strict';
import { it } from 'node:test';
import { chargeMismatches } from './check.ts';

const charge = (key: string) => ({ key, kind: 'charge', status: 'charged' });

it('a payment that was charged twice or never makes the run invalid', () => {
  const keys = new Map([
    ['u1', 'k1'],
    ['u2', 'k2'],
    ['u3', 'k3'],
  ]);
  const ledger = [
    charge('k1'),
    charge('k2'),
    charge('k2'),
    { key: 'k3', kind: 'charge', status: 'declined' },
    { key: 'k3', kind: 'refund', status: 'charged' },
  ];
  assert.deepEqual(chargeMismatches(['u1'], keys, ledger), []);
  assert.deepEqual(chargeMismatches(['u1', 'u2', 'u3', 'u4'], keys, ledger), [
    'u2: 2 charges',
    'u3: 0 charges',
    'u4: 0 charges',
  ]);
});
