/** Messages that must be acknowledged and land in `rejected_readings`, with the reason that is expected. */
import { readingBytesMax, type RejectionReason } from '@thermomesh/contracts';

export interface PoisonContext {
  deviceId: string;
  /** The `seq` that this message uses up. */
  number: number;
  measuredAtMs: number;
  /** A good reading of this device that is acknowledged; undefined if there is none yet. */
  storedSeq: number | undefined;
}

export interface Poison {
  /** Latin1 text; unique within the device, because the same bytes again are a resend and no second rejection. */
  payload: string;
  reason: RejectionReason;
}

type Recipe = (context: PoisonContext) => Poison;

const json = (fields: Record<string, unknown>) => JSON.stringify(fields);

/** Good readings but for one field. */
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
  // A seq that is stored already, with a value that no good reading has: a device that was reset. Only an acknowledged reading
  // is taken, because then it is the earlier one whatever dies.
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

export const poisonKinds = recipes.length;

/** @param kind from 0 to {@link poisonKinds} - 1 */
export function makePoison(kind: number, context: PoisonContext): Poison {
  const recipe = recipes[kind % recipes.length];
  if (recipe === undefined) throw new RangeError(`no poison of kind ${kind}`);
  return recipe(context);
}
