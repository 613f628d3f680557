/** The promises of the mesh (docs/INVARIANTS.md). Code, tests and logs cite these ids. */
export const invariants = {
  I1: 'Acked means stored, once',
  I2: 'One writer',
  I3: 'One charge per transaction UUID',
  I4: 'One contribution per chunk',
  I5: 'Accepted work survives',
  I6: 'The accounts balance',
} as const;
export type InvariantId = keyof typeof invariants;
