/** Messages that must be acknowledged and rejected, each with the expected reason. */
import { readingBytesMax, type RejectionReason } from '@thermomesh/contracts';

/** What a poison message is made from. */
export interface PoisonContext {
  deviceId: string;
  /** The `seq` that this message uses up. */
  number: number;
  measuredAtMs: number;
  /** The seq of an acknowledged reading of this device; undefined if there is none yet. */
  storedSeq: number | undefined;
}

/** A poison message and the reason for which it must be rejected. */
export interface Poison {
  /** Latin1 text. It is unique within the device: the ledger recognises a message by its bytes. */
  payload: string;
  reason: RejectionReason;
}

type Recipe = (context: PoisonContext) => Poison;

const json = (fields: Record<string, unknown>) => JSON.stringify(fields);

/** Fields of a valid reading; each recipe spoils one of them. */
const fieldsOf = ({ deviceId, number, measuredAtMs }: PoisonContext) => ({
  deviceId,
  seq: number,
  measuredAt: measuredAtMs,
  celsius: 20,
});

const recipes: readonly Recipe[] = [
  ({ number }) => ({ payload: `reading ${number} of a device that speaks no JSON`, reason: 'not_json' }),
  ({ number }) => ({ payload: `{"seq":${number},"celsius":"\xff\xfe"}`, reason: 'not_json' }),
  (context) => ({
    payload: json(fieldsOf(context)).replace('"celsius":20', '"celsius":1e39'),
    reason: 'bad_celsius',
  }),
  (context) => ({
    payload: json({ ...fieldsOf(context), measuredAt: '+300000-01-01T00:00:00Z' }),
    reason: 'bad_measured_at',
  }),
  (context) => ({
    payload: json({ ...fieldsOf(context), deviceId: `${context.deviceId}\u0000` }),
    reason: 'device_mismatch',
  }),
  (context) => ({
    payload: json({ ...fieldsOf(context), padding: 'x'.repeat(readingBytesMax + 1024) }),
    reason: 'too_large',
  }),
  // A seq that is stored already with a value that no valid reading has, as a device that was reset
  // would send it. Only the seq of an acknowledged reading is used: that reading stays the earlier
  // one whichever process dies.
  (context) =>
    context.storedSeq === undefined
      ? { payload: json({ ...fieldsOf(context), celsius: 'warm' }), reason: 'bad_celsius' }
      : {
          payload: json({
            ...fieldsOf(context),
            seq: context.storedSeq,
            celsius: 60,
            attempt: context.number,
          }),
          reason: 'seq_conflict',
        },
];

/** Number of kinds of poison. */
export const poisonKinds = recipes.length;

/** Makes a poison message. @param kind from 0 to {@link poisonKinds} - 1 */
export function makePoison(kind: number, context: PoisonContext): Poison {
  const recipe = recipes[kind % recipes.length];
  if (recipe === undefined) throw new RangeError(`no poison of kind ${kind}`);
  return recipe(context);
}
