// A plain proxy on node:http, for test/bench/streaming.ts: GET and PUT of its argument's paths.
import { createServer, request } from 'node:http';

const upstream = new URL(process.argv[2]);
const server = createServer((incoming, outgoing) => {
  const { method, url, headers } = incoming;
  const length = headers['content-length'];
  const sent = request({
    host: upstream.hostname, port: upstream.port, path: url, method,
    headers: length === undefined ? {} : { 'content-length': length },
  }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  incoming.pipe(sent);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
