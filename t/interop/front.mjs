// The HTTP side that our MCP servers share: options, counters, one endpoint.
//
//     const options = parseOptions('fixture.mjs');
//     serve(options, async (req, res, body) => { ... });
//
// Listens on 127.0.0.1 only, on a free port unless told one, and says
// {"port":N,"pid":N} on stdout when it is ready.  GET /_hits tells which
// calls reached the server, so that a test can prove what did not.  Nobody is
// asked for a credential: that is the job of the gateway.

import { createServer } from 'node:http';


export function parseOptions(name)
{
    const usage = `usage: node ${name} [--stateless] [--json] [--port N]`;
    const options = { name, stateless: false, json: false, port: 0 };
    const argv = process.argv.slice(2);

    for (let i = 0; i < argv.length; i++) {
        if (argv[i] === '--stateless' || argv[i] === '--json') {
            options[argv[i].slice(2)] = true;

        } else if (argv[i] === '--port' && /^\d{1,5}$/.test(argv[i + 1])) {
            options.port = Number(argv[++i]);

        } else {
            console.error(`${name}: unexpected "${argv[i]}"\n${usage}`);
            process.exit(2);
        }
    }

    return options;
}


const hits = {
    total: 0,           // tools/call requests that arrived
    tools: {},          // the same by name
    methods: {},        // JSON-RPC messages by method, answers as "answer"
    http: {},           // HTTP requests by method
    secrets: 0,         // requests that carried a credential of the gateway
    gone: 0,            // answers that the client did not wait for
};


function bump(counts, name)
{
    counts[name] = (counts[name] ?? 0) + 1;
}


function count(req, body)
{
    bump(hits.http, req.method);

    const secret = Object.keys(req.headers).some(
        (h) => h === 'authorization' || h === 'x-api-key'
               || h.startsWith('x-csrg-') || h.startsWith('x-armoriq-'));

    if (secret) {
        hits.secrets++;
    }

    for (const msg of Array.isArray(body) ? body : [body]) {
        if (msg === null || typeof msg !== 'object') {
            continue;
        }

        bump(hits.methods, msg.method ?? 'answer');

        // counted on arrival: a call that failed was made all the same

        if (msg.method === 'tools/call') {
            hits.total++;
            bump(hits.tools, String(msg.params?.name));
        }
    }
}


async function read(req)
{
    const chunks = [];

    for await (const chunk of req) {
        chunks.push(chunk);
    }

    return Buffer.concat(chunks).toString('utf8');
}


export function answer(res, status, value)
{
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(JSON.stringify(value));
}


// before there is a session, or when it has gone

export function refuse(res, status, message)
{
    answer(res, status, {
        jsonrpc: '2.0', id: null, error: { code: -32000, message },
    });
}


async function dispatch(req, res, handle)
{
    if (req.url === '/_hits') {
        return answer(res, 200, hits);
    }

    if (req.url.split('?')[0] !== '/mcp') {
        return answer(res, 404, { error: 'not found' });
    }

    const text = await read(req);
    let body;

    try {
        body = text === '' ? undefined : JSON.parse(text);

    } catch {
        return answer(res, 400, {
            jsonrpc: '2.0', id: null,
            error: { code: -32700, message: 'Parse error' },
        });
    }

    count(req, body);

    res.on('close', () => {
        if (!res.writableFinished) {
            hits.gone++;
        }
    });

    return handle(req, res, body);
}


export function serve(options, handle)
{
    const server = createServer((req, res) => {
        dispatch(req, res, handle).catch((err) => {
            console.error(`${options.name}:`, err);

            if (!res.headersSent) {
                refuse(res, 500, 'Internal server error');

            } else {
                res.destroy();
            }
        });
    });

    server.on('error', (err) => {
        console.error(`${options.name}: ${err.message}`);
        process.exit(1);
    });

    server.listen(options.port, '127.0.0.1', () => {
        console.log(JSON.stringify({ port: server.address().port,
                                     pid: process.pid }));
    });

    for (const signal of ['SIGINT', 'SIGTERM']) {
        process.on(signal, () => process.exit(0));
    }

    // a test that was killed leaves nobody who would end this

    const parent = process.ppid;

    setInterval(() => {
        if (process.ppid !== parent) {
            process.exit(0);
        }
    }, 1000).unref();
}


// Keeps what was sent on each stream, so that a client which lost it can ask
// for what it missed.

export class Events
{
    #streams = new Map();
    #last = 0;

    async storeEvent(stream, message)
    {
        const id = `${stream}_${++this.#last}`;
        const events = this.#streams.get(stream) ?? [];

        events.push({ id, message });
        this.#streams.set(stream, events);

        return id;
    }

    async getStreamIdForEventId(id)
    {
        const stream = id.slice(0, id.lastIndexOf('_'));

        return this.#streams.has(stream) ? stream : undefined;
    }

    async replayEventsAfter(id, { send })
    {
        const stream = await this.getStreamIdForEventId(id);
        const events = this.#streams.get(stream) ?? [];
        const at = events.findIndex((event) => event.id === id);

        for (const event of events.slice(at + 1)) {

            // the first event of a stream only carries its id

            if (Object.keys(event.message).length > 0) {
                await send(event.id, event.message);
            }
        }

        return stream;
    }
}


// milliseconds after which a client comes back for what it has missed

export const RETRY = 300;


// Sessions on top of either generation of the SDK: make() gives a connected
// transport.

export class Sessions
{
    #transports = new Map();

    constructor(isInitialize, make)
    {
        this.isInitialize = isInitialize;
        this.make = make;
    }

    add(id, transport)
    {
        this.#transports.set(id, transport);
    }

    remove(id)
    {
        this.#transports.delete(id);
    }

    async handle(req, res, body)
    {
        const id = req.headers['mcp-session-id'];
        let transport = this.#transports.get(id);

        if (transport === undefined) {
            if (id !== undefined) {
                return refuse(res, 404, 'Session not found');
            }

            if (req.method !== 'POST' || !this.isInitialize(body)) {
                return refuse(res, 400, 'Bad Request: no valid session ID');
            }

            transport = await this.make(this);
        }

        return transport.handleRequest(req, res, body);
    }
}
