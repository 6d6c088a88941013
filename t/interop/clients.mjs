// Drives an MCP server through the gateway with the official clients of both
// generations, unmodified: what goes to and fro while a call is running has to
// arrive, and what was not planned has to be refused.
//
//     ARMORIQ_API_KEY=... node clients.mjs GATEWAY-URL MCP-SERVER-URL
//                         --server fixture|legacy [--stateless] [--json]
//
// The options are those of the server.  Prints {"rows":[...]}, a row for each
// thing that was tried with what came of it, and what had to.

import { setTimeout as sleep } from 'node:timers/promises';

import { Client as Client2, StreamableHTTPClientTransport as Transport2 }
    from '@modelcontextprotocol/client';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 }
    from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CreateMessageRequestSchema, ElicitRequestSchema,
         LoggingMessageNotificationSchema, ToolListChangedNotificationSchema }
    from '@modelcontextprotocol/sdk/types.js';


const MCP = 'infra-mcp';

const args = process.argv.slice(2);
const [gateway, backend] = args;
const apiKey = process.env.ARMORIQ_API_KEY;

const server = {
    modern: args[args.indexOf('--server') + 1] === 'fixture',
    sessions: !args.includes('--stateless'),
    streams: !args.includes('--json'),
};

// nothing here takes a second: what does not come in this time never will

const timeout = 8000;


// What a client does and a test can look at, whatever its generation.

class Driver
{
    logged = [];
    changes = 0;

    answer = {
        sampling: () => ({
            model: 'test', role: 'assistant',
            content: { type: 'text', text: 'forty-two' },
        }),
        elicitation: (request) => ({
            action: 'accept',
            content: Object.fromEntries(
                Object.keys(request.params.requestedSchema.properties)
                    .map((key) => [key, 'blue'])),
        }),
    };

    capabilities = { sampling: {}, elicitation: { form: {} } };

    log = (n) => this.logged.push(n.params.data);
    change = () => this.changes++;
}


// the first generation, with the token as its bearer

class First extends Driver
{
    name = 'sdk 1.x';
    modern = false;

    async connect(token)
    {
        this.client = new Client1({ name: 'first', version: '1.0.0' },
                                  { capabilities: this.capabilities });

        this.transport = new Transport1(new URL(`${gateway}/mcp`), {
            requestInit: { headers: { Authorization: `Bearer ${token}` } },
        });

        this.client.setRequestHandler(CreateMessageRequestSchema,
                                      this.answer.sampling);
        this.client.setRequestHandler(ElicitRequestSchema,
                                      this.answer.elicitation);
        this.client.setNotificationHandler(LoggingMessageNotificationSchema,
                                           this.log);
        this.client.setNotificationHandler(ToolListChangedNotificationSchema,
                                           this.change);

        await this.client.connect(this.transport, { timeout });
    }

    version()
    {
        return this.transport.protocolVersion;
    }

    call(name, params, more)
    {
        return this.client.callTool({ name, arguments: params }, undefined,
                                    { timeout, ...more });
    }
}


// the second generation, with the token in a header of its own

class Second extends Driver
{
    name = 'client 2.x';
    modern = false;
    options = {};

    async connect(token)
    {
        this.client = new Client2({ name: 'second', version: '2.0.0' },
                                  { capabilities: this.capabilities,
                                    ...this.options });

        this.transport = new Transport2(new URL(`${gateway}/mcp`), {
            requestInit: { headers: { Authorization: `Bearer ${apiKey}`,
                                      'X-ArmorIQ-Intent': token } },
        });

        this.client.setRequestHandler('sampling/createMessage',
                                      this.answer.sampling);
        this.client.setRequestHandler('elicitation/create',
                                      this.answer.elicitation);
        this.client.setNotificationHandler('notifications/message', this.log);
        this.client.setNotificationHandler(
            'notifications/tools/list_changed', this.change);

        await this.client.connect(this.transport, { timeout });
    }

    version()
    {
        return this.client.getNegotiatedProtocolVersion();
    }

    call(name, params, more)
    {
        return this.client.callTool({ name, arguments: params },
                                    { timeout, ...more });
    }
}


// the same, asking first which era it is

class Newest extends Second
{
    name = 'client 2.x, any era';
    modern = server.modern;
    options = { versionNegotiation: { mode: 'auto' } };
}


const rows = [];


function report(driver, what, expected, got, detail)
{
    rows.push({ ok: expected === got, client: driver.name, what, expected,
                got, detail });
}


// why the gateway has refused, wherever the client has put it

function reason(err)
{
    const text = `${err.message} ${JSON.stringify(err.data ?? '')}`;
    const m = /\\*"reason\\*":\s*\\*"([A-Z_]+)/.exec(text);

    return m ? m[1] : `${err.constructor.name}: ${err.message}`;
}


async function attempt(run)
{
    try {
        return await run();

    } catch (err) {
        return reason(err);
    }
}


const textOf = (result) => result.isError
    ? `error: ${result.content[0]?.text}` : result.content[0]?.text;


async function until(condition)
{
    for (let i = 0; i < timeout / 20 && !await condition(); i++) {
        await sleep(20);
    }

    return condition();
}


async function hits()
{
    const res = await fetch(`${backend}/_hits`);

    return res.json();
}


const question = { prompt: 'How much?' };
const form = { message: 'Which?' };

// a step for each thing that is tried; a question and its answer are two calls
// in the newer era

const steps = [
    ['test_simple_text'],
    ['test_tool_with_progress'],
    ['test_tool_with_logging'],
    ['test_sampling', question],
    ['test_elicitation', form],
    ['test_reconnection'],
    ['test_trigger_tool_change'],
    ['test_wait'],
    ['test_input_required_result_sampling', {}, 2],
    ['test_input_required_result_elicitation', {}, 2],
    ['test_input_required_result_multi_round', {}, 3],
].map(([action, params, uses]) => ({
    action, mcp: MCP, params: params ?? {}, ...(uses && { max_uses: uses }),
}));


server.planned = steps.map((step) => step.action)
    .filter((name) => server.modern || !/input_required|wait/.test(name));


async function issue()
{
    const res = await fetch(`${gateway}/iap/sdk/token`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': apiKey },
        body: JSON.stringify({
            user_id: 'alice', agent_id: 'sysadmin', context_id: 'default',
            plan: { goal: 'Talk while calls are running', steps },
            expires_in: 300,
        }),
    });

    const token = (await res.json()).jwt_token;

    if (token === undefined) {
        throw new Error(`no token: ${res.status}`);
    }

    return token;
}


async function tryCalls(driver)
{
    const simple = () => driver.call('test_simple_text', {}).then(textOf);

    report(driver, 'planned call', 'A simple text for the test.',
           await attempt(simple));

    report(driver, 'same call again', 'STEP_USED', await attempt(simple));

    report(driver, 'other parameters', 'STEP_PARAMS', await attempt(
        () => driver.call('test_sampling', { prompt: 'How many?' })));

    report(driver, 'not in the plan', 'STEP_NOT_PLANNED', await attempt(
        () => driver.call('test_error_handling', {})));
}


// what the configuration lists beside tools, and what it does not

async function tryMethods(driver)
{
    if (!server.modern) {
        return;
    }

    const { client } = driver;

    report(driver, 'resources/read', 'A static text.', await attempt(
        () => client.readResource({ uri: 'test://static-text' }, { timeout })
            .then((r) => r.contents[0].text)));

    report(driver, 'prompts/get', 'Arguments: one, two', await attempt(
        () => client.getPrompt({ name: 'test_prompt_with_arguments',
                                 arguments: { arg1: 'one', arg2: 'two' } },
                               { timeout })
            .then((r) => r.messages[0].content.text)));

    report(driver, 'a method that is not listed', 'RPC_METHOD', await attempt(
        () => client.complete({
            ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
            argument: { name: 'arg1', value: 'o' },
        }, { timeout })));
}


async function tryNotifications(driver)
{
    let progress = 0;

    // answers in JSON have no room for what is said before them

    const three = server.streams ? 3 : 0;

    report(driver, 'call with progress', true, await attempt(
        () => driver.call('test_tool_with_progress', {},
                          { onprogress: () => progress++ })
            .then((r) => /^Token: \d+$/.test(textOf(r)))));

    report(driver, 'progress that arrived', three, progress);

    report(driver, 'call that logs', 'Logged three times.', await attempt(
        () => driver.call('test_tool_with_logging', {}).then(textOf)));

    report(driver, 'messages that arrived', three, driver.logged.length);
}


// the answer comes in another request, while the call is still open

async function tryQuestions(driver)
{
    if (!driver.modern && server.sessions && server.streams) {
        report(driver, 'sampling', 'LLM response: forty-two', await attempt(
            () => driver.call('test_sampling', question).then(textOf)));

        report(driver, 'elicitation',
               'Elicitation completed: action=accept, '
               + 'content={"response":"blue"}',
               await attempt(
                   () => driver.call('test_elicitation', form).then(textOf)));
    }

    // the same by the rules of the newer era, or by its SDK's translation

    if (server.modern && (driver.modern || server.sessions && server.streams)) {
        report(driver, 'sampling, input_required', 'The model: forty-two',
               await attempt(() => driver
                   .call('test_input_required_result_sampling', {})
                   .then(textOf)));

        report(driver, 'elicitation, input_required', 'Hello, blue!',
               await attempt(() => driver
                   .call('test_input_required_result_elicitation', {})
                   .then(textOf)));

        report(driver, 'several rounds', 'blue has blue.', await attempt(
            () => driver.call('test_input_required_result_multi_round', {})
                .then(textOf)));
    }
}


async function tryChanges(driver, before)
{
    if (!driver.modern && !server.sessions) {
        return;
    }

    // the older clients have opened their GET stream by themselves, some time
    // after they have connected

    if (driver.modern) {
        await driver.client.listen({ toolsListChanged: true });

    } else {
        await until(async () => (await hits()).http.GET > before);
    }

    report(driver, 'call that changes the list', 'Told.', await attempt(
        () => driver.call('test_trigger_tool_change', {}).then(textOf)));

    report(driver, 'list_changed arrived', true,
           await until(() => driver.changes > 0));
}


// Who no longer wants the answer says so; in the newer era, by hanging up.

async function tryCancel(driver)
{
    if (!server.modern || !driver.modern && !server.sessions) {
        return;
    }

    const before = await hits();
    const abort = new AbortController();
    const call = attempt(() => driver.call('test_wait', {},
                                           { signal: abort.signal }));

    await until(async () => (await hits()).tools.test_wait
                            > (before.tools.test_wait ?? 0));
    abort.abort(new Error('enough'));
    await call;

    const told = (h) => driver.modern
        ? h.gone : h.methods['notifications/cancelled'] ?? 0;

    report(driver, 'server knows that a call was cancelled', true,
           await until(async () => told(await hits()) > told(before)));
}


async function trySession(driver)
{
    if (driver.modern || !server.sessions) {
        report(driver, 'no session', undefined, driver.transport.sessionId);
        return;
    }

    if (server.streams) {
        const before = await hits();

        report(driver, 'resumed call', 'The client has come back for this.',
               await attempt(() => driver.call('test_reconnection', {})
                   .then(textOf)));

        const after = await hits();

        report(driver, 'GET requests that this took', 1,
               (after.http.GET ?? 0) - (before.http.GET ?? 0));
    }

    const id = driver.transport.sessionId;

    await attempt(() => driver.transport.terminateSession());

    const res = await fetch(`${gateway}/mcp`, {
        method: 'POST',
        headers: { 'content-type': 'application/json',
                   accept: 'application/json, text/event-stream',
                   authorization: `Bearer ${apiKey}`,
                   'mcp-session-id': id },
        body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
    });

    report(driver, 'session after DELETE', 404, res.status, await res.text());
}


async function drive(driver)
{
    const before = await hits();

    await driver.connect(await issue());

    report(driver, 'revision', driver.modern ? '2026-07-28' : '2025-11-25',
           driver.version());

    // of all tools of the server, those of the plan

    const { tools } = await driver.client.listTools();
    const known = tools.map(({ name }) => name);

    report(driver, 'tools/list without what was not planned', '',
           known.filter((name) => !steps.some((s) => s.action === name))
               .join(', '));

    report(driver, 'tools/list with what was planned', '',
           server.planned.filter((name) => !known.includes(name)).join(', '));

    await tryCalls(driver);
    await tryMethods(driver);
    await tryNotifications(driver);
    await tryQuestions(driver);
    await tryChanges(driver, before.http.GET ?? 0);
    await tryCancel(driver);
    await trySession(driver);
    await driver.client.close();

    const after = await hits();

    report(driver, 'refused calls that reached the server', 0,
           after.tools.test_error_handling ?? 0);
    report(driver, 'credentials that reached the server', 0, after.secrets);
}


for (const driver of [new First(), new Second(), new Newest()]) {
    try {
        await drive(driver);

    } catch (err) {
        report(driver, 'the whole', 'no exception', reason(err), err.stack);
    }
}

console.log(JSON.stringify({ rows }));
process.exit(0);
