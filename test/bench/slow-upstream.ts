/**
 * An upstream that answers after `workerData` milliseconds, as a thread of its own: its work
 * is not in the way of whoever measures. Its first message is its port; it ends when terminated.
 */

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const BACKLOG = 4_096;

const server = createServer((_request, response) => {
  setTimeout(() => response.end('at last'), workerData as number);
});
server.listen(0, '127.0.0.1', BACKLOG, () => {
  parentPort?.postMessage((server.address() as AddressInfo).port);
});
