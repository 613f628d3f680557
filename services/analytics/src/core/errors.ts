/** The closed list of the error codes of an analytics node. */
import { defineErrors } from '@thermomesh/runtime';

export const { codes: errorCodes, error: analyticsError } = defineErrors({
  /** The database belongs to another mesh, and no operator has adopted it. */
  'database.other_mesh': { retriable: false },
  /** The term of a coordinator ended while a database session was being opened for it. */
  'drain.aborted': { retriable: false },
  /** The term of a coordinator ended while it connected to the gateway. */
  'drain.ended': { retriable: false },
  /** HTTP 409: the drain does not wait at this gap. */
  'drain.no_such_gap': { retriable: false, http: 409 },
  /** HTTP 409: this node does not coordinate. */
  'drain.not_coordinator': { retriable: false, http: 409 },
  /** Other users may write the document of drain limits, so the node does not follow it. */
  'drain.limits_unguarded': { retriable: false },
  /** The MQTT connection closed before the awaited packet came. */
  'mqtt.closed': { retriable: true },
  /** The gateway refused the connection or the subscription. */
  'mqtt.refused': { retriable: true },
  /** The awaited MQTT packet did not come in time. */
  'mqtt.timeout': { retriable: true },
  /** No MQTT connection to the gateway. */
  'mqtt.unreachable': { retriable: true },
  /** HTTP 404: no reading of this device is stored. */
  'devices.unknown': { retriable: false, http: 404 },
  /** HTTP 400: the `Idempotency-Key` is not 1 to 128 visible ASCII characters. */
  'devices.bad_key': { retriable: false, http: 400 },
  /** HTTP 409: the incarnation is not above all that are known of the device. */
  'devices.incarnation_too_low': { retriable: false, http: 409 },
  /** HTTP 409: the device has used the highest incarnation that there is. */
  'devices.no_incarnation_left': { retriable: false, http: 409 },
  /** HTTP 422: the `Idempotency-Key` was used to open another incarnation. */
  'devices.key_reused': { retriable: false, http: 422 },
  /** HTTP 404: no rejected message with this id is kept. */
  'rejected.unknown': { retriable: false, http: 404 },
  /** HTTP 409: only the beginning of the rejected message is kept, so it cannot be replayed. */
  'rejected.cut': { retriable: false, http: 409 },
  /** HTTP 400: a deletion of rejected messages without any filter. */
  'rejected.no_filter': { retriable: false, http: 400 },
  /** HTTP 400: `from` or `to` is not a point in time. */
  'http.bad_instant': { retriable: false, http: 400 },
});

/** A code of the list. */
export type AnalyticsErrorCode = keyof typeof errorCodes;
