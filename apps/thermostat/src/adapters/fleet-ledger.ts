/**
 * The ledger of the simulated fleet: what it has sent and seen acknowledged, by which `mesh verify`
 * judges the mesh (I1).
 */
import type { Reading } from '@thermomesh/contracts';
import { openRotatingLedger, type RotatingLedger } from '@thermomesh/ledger';
import type { Log } from '@thermomesh/runtime';

export interface FleetLedgerOptions {
  /** Folder of the segments; undefined keeps no ledger. */
  ledgerFolder: string | undefined;
  ledgerBytesMax: number;
  mesh: string;
  prefix: string;
  devices: number;
  intervalMs: number;
  seed: number;
  /** The incarnation that the readings name, asked when a segment is begun; 0: none. */
  incarnation: () => number;
}

/** What one device tells the ledger. */
export interface DeviceLedger {
  onSend(reading: Reading): void;
  onAcked(seq: number): void;
  onDropped(seq: number): void;
}

export interface FleetLedger {
  /** @param number of the device in its id */
  ofDevice(number: number): DeviceLedger;
  /** Writes acknowledgements that are still in memory; the housekeeping calls it every second. */
  flush(): void;
  close(): void;
}

/** First part of the names of the segments. */
const ledgerName = 'fleet';

/**
 * Opens the ledger. A ledger that cannot be written does not stop the fleet: it then claims less,
 * and the log reports the failure once.
 */
export function openFleetLedger(options: FleetLedgerOptions, log: Log): FleetLedger {
  const { ledgerFolder, ledgerBytesMax, mesh, prefix, devices, intervalMs, seed } = options;
  let ledger: RotatingLedger | undefined;
  let failed = false;
  const tried = (work: () => void) => {
    try {
      work();
      return true;
    } catch (error) {
      if (!failed) log.error({ event: 'fleet.ledger_failed', err: error });
      failed = true;
      return false;
    }
  };
  const open = (folder: string) =>
    (ledger ??= openRotatingLedger({
      folder,
      name: ledgerName,
      // The ids are those of `<prefix>-<n>` with n from 1.
      header: {
        mesh,
        devicePrefix: `${prefix}-`,
        devices: devices + 1,
        options: { intervalMs, seed },
        incarnation: options.incarnation(),
      },
      bytesMax: ledgerBytesMax,
    }));
  return {
    ofDevice: (device) => ({
      onSend(reading) {
        if (ledgerFolder === undefined) return;
        if (!tried(() => open(ledgerFolder).sent(lineOf(device, reading))) || !failed) return;
        failed = false;
        log.info({ event: 'fleet.ledger_resumed' });
      },
      onAcked: (seq) => void tried(() => ledger?.acked(device, seq)),
      onDropped: (seq) => ledger?.dropped(device, seq),
    }),
    flush: () => void tried(() => ledger?.flush()),
    close: () => void tried(() => ledger?.close()),
  };
}

function lineOf(device: number, { seq, measuredAtMs, ...values }: Reading) {
  const text = (value: number | null) => (value === null ? '' : String(value));
  return {
    device,
    number: seq,
    // The payload has whole milliseconds.
    measuredAtMs: Math.trunc(measuredAtMs),
    celsius: String(values.celsius),
    setpointCelsius: text(values.setpointCelsius),
    humidityPercent: text(values.humidityPercent),
    heating: values.heating === null ? ('' as const) : values.heating ? ('1' as const) : ('0' as const),
  };
}
