/**
 * Request targets that are no paths, against the admin API of a started daemon: none of them is a
 * way around the token.
 */

import t from 'tap';

import { sendRaw, startFor } from './world.ts';

const TARGETS = [
  '*/v1/apps', '**/v1/apps', '*/x/../v1/apps', '//v1/apps', '/./v1/apps', '/%76%31/apps',
  '/x/../v1/apps', '/v1%2fapps', '/V1/apps', '/v1/apps', 'http://localhost/v1/apps', '/;/v1/apps',
];

t.test('no spelling of a target gets past the token', async (t) => {
  const daemon = await startFor(t);
  const body = '{"name":"evil"}';
  for (const target of TARGETS) {
    const read = await sendRaw(daemon.adminPort,
      `GET ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    t.match(read, /^HTTP\/1\.1 (400|401|404|429) /, target);
  }
  for (const path of ['tenants', 'tokens', 'apps/hello/hosts', 'apps/hello/deploys']) {
    const written = await sendRaw(daemon.adminPort,
      `POST */v1/${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n`
      + `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    t.match(written, /^HTTP\/1\.1 404 /, path);
  }
  t.equal((await daemon.admin('GET', '/v1/apps')).status, 200, 'with the token');
  t.equal(await daemon.stop(), 0);
});
