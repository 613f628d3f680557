import { peerTransportConformance } from '@thermomesh/election/conformance/peer-transport';
import { startTestMesh } from './testing/mesh.ts';

peerTransportConformance('links over WebSockets', async () => {
  const mesh = await startTestMesh([1, 2, 3]);
  return {
    transport: (id) => mesh.node(id),
    cut: (a, b) => {
      mesh.proxy(a, b).freeze();
    },
    heal: (a, b) => {
      mesh.proxy(a, b).thaw();
    },
    close: () => mesh.close(),
  };
});
