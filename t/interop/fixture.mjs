// An MCP server on the official packages of the second generation, which
// answers both eras on one endpoint: revision 2026-07-28, which knows no
// sessions, and those up to 2025-11-25.  It has what the public conformance
// suite calls.
//
//     node fixture.mjs [--stateless] [--json] [--port N]
//
// --stateless: no sessions for the older era either.  --json: answers are
// JSON, never event streams.  See front.mjs for the rest.

import { randomUUID } from 'node:crypto';

import { NodeStreamableHTTPServerTransport, localhostHostValidation,
         toNodeHandler } from '@modelcontextprotocol/node';
import { classifyInboundRequest, createMcpHandler, isInitializeRequest }
    from '@modelcontextprotocol/server';

import { Events, RETRY, Sessions, parseOptions, refuse, serve }
    from './front.mjs';
import { newServer } from './fixture_tools.mjs';


const options = parseOptions('fixture.mjs');
const validHost = localhostHostValidation();

const modern = createMcpHandler(() => newServer(() => modern.notify), {
    responseMode: options.json ? 'json' : 'auto',
});

const modernNode = toNodeHandler(modern);


const sessions = new Sessions(isInitializeRequest, async (all) => {
    const transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        enableJsonResponse: options.json,
        eventStore: options.json ? undefined : new Events(),
        retryInterval: RETRY,
        onsessioninitialized: (id) => all.add(id, transport),
    });

    const server = newServer();

    transport.onclose = () => all.remove(transport.sessionId);

    await server.connect(transport);

    return transport;
});


async function stateless(req, res, body)
{
    if (req.method !== 'POST') {
        return refuse(res, 405, 'Method not allowed');
    }

    const transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: undefined,
        enableJsonResponse: options.json,
    });

    res.on('close', () => transport.close());

    await newServer().connect(transport);

    return transport.handleRequest(req, res, body);
}


serve(options, async (req, res, body) => {
    if (!validHost(req, res)) {
        return;
    }

    // malformed requests of the newer era are told so by its own rules

    const era = classifyInboundRequest({
        httpMethod: req.method,
        protocolVersionHeader: req.headers['mcp-protocol-version'],
        mcpMethodHeader: req.headers['mcp-method'],
        mcpNameHeader: req.headers['mcp-name'],
        body,
    });

    if (era.kind !== 'legacy') {
        return modernNode(req, res, body);
    }

    return options.stateless ? stateless(req, res, body)
                             : sessions.handle(req, res, body);
});
