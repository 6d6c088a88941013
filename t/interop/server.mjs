// A real MCP server with sysadmin tools, on the official SDK: what the demo
// and the interop tests protect.  Everything lives in memory.
//
//     node server.mjs [--stateless] [--json] [--port N]
//
// It listens on 127.0.0.1 only, on a free port unless told one, and says
// {"port":N,"pid":N} on stdout when it is ready.  GET /_hits tells which
// calls reached it, so that a test can prove what did not.  Unlike a sane
// MCP server it asks nobody for a credential: that is the job of the gateway.

import { randomUUID } from 'node:crypto';

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { StreamableHTTPServerTransport }
    from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';


const usage = 'usage: node server.mjs [--stateless] [--json] [--port N]';

let stateless = false;
let json = false;
let port = 0;

for (let i = 2; i < process.argv.length; i++) {
    const arg = process.argv[i];

    if (arg === '--stateless') {
        stateless = true;

    } else if (arg === '--json') {
        json = true;

    } else if (arg === '--port' && /^\d{1,5}$/.test(process.argv[i + 1])) {
        port = Number(process.argv[++i]);

    } else {
        console.error(`server.mjs: unexpected "${arg}"\n${usage}`);
        process.exit(2);
    }
}


// the plant

const services = new Map([
    ['payments', { status: 'degraded', replicas: 2, restarts: 0 }],
    ['search', { status: 'running', replicas: 3, restarts: 0 }],
    ['mail', { status: 'running', replicas: 1, restarts: 0 }],
]);

const alerts = [
    { id: 1, service_id: 'payments', severity: 'critical',
      message: 'checkout latency above 2 s', status: 'open' },
];

const hits = {
    total: 0,           // tools/call requests that arrived
    tools: {},          // the same by name
    methods: {},        // JSON-RPC messages by method
    requests: 0,        // HTTP requests but for /_hits
    secrets: 0,         // requests that carried a credential of the gateway
    last: null,         // arguments of the last tool, as they arrived
};


function service(id)
{
    const s = services.get(id);

    if (s === undefined) {
        throw new Error(`no service "${id}"`);
    }

    return s;
}


function answer(value)
{
    return { content: [{ type: 'text', text: JSON.stringify(value) }] };
}


function newServer()
{
    const server = new McpServer({ name: 'infra-mcp', version: '1.0.0' });

    const tool = (name, description, inputSchema, readOnly, run) => {
        server.registerTool(name, {
            description,
            inputSchema,
            annotations: { readOnlyHint: readOnly },
        }, async (args) => answer(run(args)));
    };

    tool('infra.list', 'List the services and their state', {}, true,
         () => [...services].map(([id, s]) => ({ service_id: id, ...s })));

    tool('infra.restart', 'Restart a service',
         { service_id: z.string() }, false,
         ({ service_id }) => {
             const s = service(service_id);

             s.restarts++;
             s.status = 'running';

             return { service_id, ...s };
         });

    tool('infra.scale', 'Set the number of replicas of a service',
         { service_id: z.string(),
           replicas: z.number().int().min(0).max(100) }, false,
         ({ service_id, replicas }) => {
             const s = service(service_id);

             s.replicas = replicas;

             return { service_id, ...s };
         });

    tool('alerts.list', 'List alerts',
         { status: z.enum(['open', 'resolved']).optional() }, true,
         ({ status }) => alerts.filter((a) => !status || a.status === status));

    tool('alerts.create', 'Create an alert',
         { service_id: z.string(),
           severity: z.enum(['info', 'warning', 'critical']),
           message: z.string() }, false,
         (args) => {
             const alert = { id: alerts.length + 1, ...args, status: 'open' };

             alerts.push(alert);

             return alert;
         });

    return server;
}


// HTTP

const sessions = new Map();
const app = createMcpExpressApp();


app.use((req, res, next) => {
    if (req.path === '/_hits') {
        return next();
    }

    hits.requests++;

    const headers = req.headers;

    if (headers.authorization || headers['x-api-key']
        || Object.keys(headers).some((h) => h.startsWith('x-csrg-')
                                            || h.startsWith('x-armoriq-intent')))
    {
        hits.secrets++;
    }

    for (const msg of Array.isArray(req.body) ? req.body : [req.body]) {
        if (msg && typeof msg.method === 'string') {
            hits.methods[msg.method] = (hits.methods[msg.method] || 0) + 1;
        }

        // counted on arrival: a call that failed was made all the same

        if (msg && msg.method === 'tools/call') {
            const name = String(msg.params?.name);

            hits.total++;
            hits.tools[name] = (hits.tools[name] || 0) + 1;
            hits.last = msg.params?.arguments ?? null;
        }
    }

    next();
});


app.get('/_hits', (req, res) => {
    res.json(hits);
});


function refuse(res, status, message)
{
    res.status(status).json({
        jsonrpc: '2.0',
        error: { code: -32000, message },
        id: null,
    });
}


async function handle(req, res)
{
    if (stateless) {
        if (req.method !== 'POST') {
            return refuse(res, 405, 'Method not allowed');
        }

        const transport = new StreamableHTTPServerTransport({
            sessionIdGenerator: undefined,
            enableJsonResponse: json,
        });

        res.on('close', () => transport.close());

        await newServer().connect(transport);

        return transport.handleRequest(req, res, req.body);
    }

    const id = req.headers['mcp-session-id'];
    let transport = sessions.get(id);

    if (transport === undefined) {
        if (id !== undefined) {
            return refuse(res, 404, 'Session not found');
        }

        if (req.method !== 'POST' || !isInitializeRequest(req.body)) {
            return refuse(res, 400, 'Bad Request: no valid session ID');
        }

        transport = new StreamableHTTPServerTransport({
            sessionIdGenerator: () => randomUUID(),
            enableJsonResponse: json,
            onsessioninitialized: (sid) => sessions.set(sid, transport),
        });

        transport.onclose = () => sessions.delete(transport.sessionId);

        await newServer().connect(transport);
    }

    return transport.handleRequest(req, res, req.body);
}


app.all('/mcp', (req, res) => {
    handle(req, res).catch((err) => {
        console.error('server.mjs:', err);

        if (!res.headersSent) {
            refuse(res, 500, 'Internal server error');
        }
    });
});


const listener = app.listen(port, '127.0.0.1', (err) => {
    if (err) {
        console.error(`server.mjs: ${err.message}`);
        process.exit(1);
    }

    console.log(JSON.stringify({ port: listener.address().port,
                                 pid: process.pid }));
});


for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => process.exit(0));
}
