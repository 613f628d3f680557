import { peerTransportConformance } from '../conformance/peer-transport.ts';
import { MemoryNetwork } from './memory-network.ts';

peerTransportConformance('the network in memory', () => {
  const network = new MemoryNetwork();
  return {
    transport: (id) => network.transport(id),
    cut: (a, b) => {
      network.cut(a, b);
    },
    heal: (a, b) => {
      network.heal(a, b);
    },
    close: () => undefined,
  };
});
