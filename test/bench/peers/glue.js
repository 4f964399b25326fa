// The Terrarium hostcalls that the hello guests import, in plain JavaScript for any runtime: what someone would write
// to run such a guest on workerd or deno. One fresh instance per request, nothing kept between requests but what does
// not depend on the request (the compiled module).
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Answers `(request) => { status, headers, body }` for a module whose memory is imported and table 0 exported. */
export function createGlue(module, pages) {
  return (request) => {
    const memory = new WebAssembly.Memory(pages);
    const state = { status: 200, headers: [], body: null, malloc: null, table: null };
    const bytes = () => new Uint8Array(memory.buffer);
    const text = (at, length) => decoder.decode(bytes().subarray(at, at + length));
    const put = (pointerOut, lengthOut, data) => {
      let at = 0;
      if (data.length > 0) {
        at = state.malloc(data.length + 1);
        bytes().set(data, at);
        bytes()[at + data.length] = 0;
      }
      const view = new DataView(memory.buffer);
      view.setUint32(pointerOut, at, true);
      view.setUint32(lengthOut, data.length, true);
    };
    const putMany = (pointerOut, lengthOut, values) => {
      if (values.length === 0) return put(pointerOut, lengthOut, new Uint8Array(0));
      const slots = state.malloc(values.length * 8 + 1);
      for (let i = 0; i < values.length; i += 1) {
        const data = encoder.encode(values[i]);
        const at = state.malloc(data.length + 1);
        bytes().set(data, at);
        bytes()[at + data.length] = 0;
        const view = new DataView(memory.buffer);
        view.setUint32(slots + i * 8, at, true);
        view.setUint32(slots + i * 8 + 4, data.length, true);
      }
      const view = new DataView(memory.buffer);
      view.setUint32(pointerOut, slots, true);
      view.setUint32(lengthOut, values.length, true);
    };
    const env = {
      hostcall_init_mm: (_, malloc) => { state.malloc = state.table.get(malloc); },
      hostcall_panic_hook: (_, at, length) => { throw new Error(text(at, length)); },
      hostcall_debug: () => {},
      hostcall_req_get_method: (_, pointer, length) => put(pointer, length, encoder.encode(request.method)),
      hostcall_req_get_path: (_, pointer, length) => put(pointer, length, encoder.encode(request.target)),
      hostcall_req_get_headers: (_, pointer, length) => putMany(pointer, length, [...request.headers.keys()]),
      hostcall_req_get_header: (_, pointer, length, handle, name, nameLength) => {
        const value = request.headers.get(text(name, nameLength));
        putMany(pointer, length, value === null ? [] : [value]);
      },
      hostcall_req_get_body: (_, pointer, length) => put(pointer, length, request.body),
      hostcall_resp_set_response_code: (_, handle, code) => { state.status = code; return 0; },
      hostcall_resp_set_header: (_, handle, name, nameLength, slices, count) => {
        const view = new DataView(memory.buffer);
        for (let i = 0; i < count; i += 1) {
          const at = view.getUint32(slices + i * 8, true);
          const length = view.getUint32(slices + i * 8 + 4, true);
          state.headers.push([text(name, nameLength), text(at, length)]);
        }
        return 0;
      },
      hostcall_resp_set_body: (_, handle, at, length) => {
        state.body = bytes().slice(at, at + length);
        return 0;
      },
    };
    const instance = new WebAssembly.Instance(module, { env, 'wardian:host': { memory } });
    state.table = instance.exports['wardian:table'];
    instance.exports['wardian:fuel'].value = 1n << 40n;
    instance.exports.run();
    return state;
  };
}

const NO_BODY = new Uint8Array(0);

/** The same as a Fetch handler, which both peers take. */
export async function answer(handle, request) {
  const url = new URL(request.url);
  const body = request.body === null ? NO_BODY : new Uint8Array(await request.arrayBuffer());
  const answered = handle({
    method: request.method, target: url.pathname + url.search, headers: request.headers, body,
  });
  return new Response(answered.body, { status: answered.status, headers: answered.headers });
}
