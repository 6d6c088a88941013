// An MCP server on @modelcontextprotocol/sdk, the first generation of the
// official packages, with those tools of fixture.mjs that talk to the client
// while a call is running.
//
//     node legacy.mjs [--stateless] [--json] [--port N]
//
// See front.mjs for what the options and the counters are.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport }
    from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CreateMessageResultSchema, ElicitResultSchema, isInitializeRequest }
    from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

import { Events, RETRY, Sessions, parseOptions, refuse, serve }
    from './front.mjs';


const options = parseOptions('legacy.mjs');
const say = (text) => ({ content: [{ type: 'text', text }] });


function addNotifications(tool, server)
{
    tool('test_tool_with_logging', {}, async (args, extra) => {
        for (const data of ['started', 'working', 'done']) {
            await extra.sendNotification({
                method: 'notifications/message',
                params: { level: 'info', logger: 'legacy', data },
            });

            await sleep(50);
        }

        return say('Logged three times.');
    });

    tool('test_tool_with_progress', {}, async (args, extra) => {
        const progressToken = extra._meta?.progressToken;

        for (const progress of [0, 50, 100]) {
            if (progressToken === undefined) {
                break;
            }

            await extra.sendNotification({
                method: 'notifications/progress',
                params: { progressToken, progress, total: 100 },
            });

            await sleep(50);
        }

        return say(`Token: ${progressToken ?? 'none'}`);
    });

    tool('test_reconnection', {}, async (args, extra) => {
        extra.closeSSEStream?.();
        await sleep(100);

        return say('The client has come back for this.');
    });

    tool('test_trigger_tool_change', {}, async () => {
        server.sendToolListChanged();

        return say('Told.');
    });
}


function addQuestions(tool)
{
    tool('test_sampling', { prompt: z.string() },
         async ({ prompt }, extra) => {
             const r = await extra.sendRequest({
                 method: 'sampling/createMessage',
                 params: {
                     messages: [{ role: 'user',
                                  content: { type: 'text', text: prompt } }],
                     maxTokens: 100,
                 },
             }, CreateMessageResultSchema);

             return say(`LLM response: ${r.content.text}`);
         });

    tool('test_elicitation', { message: z.string() },
         async ({ message }, extra) => {
             const r = await extra.sendRequest({
                 method: 'elicitation/create',
                 params: {
                     mode: 'form',
                     message,
                     requestedSchema: {
                         type: 'object',
                         properties: { response: { type: 'string' } },
                         required: ['response'],
                     },
                 },
             }, ElicitResultSchema);

             return say(`Elicitation completed: action=${r.action}, `
                        + `content=${JSON.stringify(r.content ?? {})}`);
         });
}


function newServer()
{
    const server = new McpServer({ name: 'legacy', version: '1.0.0' }, {
        capabilities: { tools: { listChanged: true }, logging: {} },
    });

    const tool = (name, inputSchema, run) => {
        server.registerTool(name, { description: name, inputSchema }, run);
    };

    tool('test_simple_text', {},
         async () => say('A simple text for the test.'));

    tool('test_error_handling', {}, async () => {
        throw new Error('This tool fails, as it was asked to');
    });

    addNotifications(tool, server);
    addQuestions(tool);

    return server;
}


const sessions = new Sessions(isInitializeRequest, async (all) => {
    const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        enableJsonResponse: options.json,
        eventStore: options.json ? undefined : new Events(),
        retryInterval: RETRY,
        onsessioninitialized: (id) => all.add(id, transport),
    });

    transport.onclose = () => all.remove(transport.sessionId);

    await newServer().connect(transport);

    return transport;
});


serve(options, async (req, res, body) => {
    if (!options.stateless) {
        return sessions.handle(req, res, body);
    }

    if (req.method !== 'POST') {
        return refuse(res, 405, 'Method not allowed');
    }

    const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: undefined,
        enableJsonResponse: options.json,
    });

    res.on('close', () => transport.close());

    await newServer().connect(transport);

    return transport.handleRequest(req, res, body);
});
