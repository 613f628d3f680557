/**
 * The parts of the library's wire format that `sync` needs; the library ships no types for them.
 */
declare module 'node-zookeeper-client/lib/jute/index.js' {
  interface JuteRecord {
    type?: number;
  }
  interface JuteRequest {
    header: JuteRecord;
    toBuffer(): Buffer;
  }
  const jute: {
    OP_CODES: { SYNC: number; DELETE: number };
    protocol: {
      RequestHeader: new (xid: number, type: number) => JuteRecord & { type: number };
      CreateResponse: new (path: string) => JuteRecord;
    };
    Request: new (header: JuteRecord, payload: JuteRecord) => JuteRequest;
  };
  export default jute;
}
