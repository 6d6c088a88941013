// Tools, resources and prompts of fixture.mjs under the names that the public
// conformance suite calls them by.

import { setTimeout as sleep } from 'node:timers/promises';

import { McpServer, ResourceTemplate, fromJsonSchema }
    from '@modelcontextprotocol/server';
import { z } from 'zod';

import { addRounds, states } from './fixture_rounds.mjs';


// one red pixel, and a sound of no length

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AA'
    + 'AAMBAQDJ/pLvAAAAAElFTkSuQmCC';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';


const text = (s) => ({ type: 'text', text: s });
const image = () => ({ type: 'image', data: PNG, mimeType: 'image/png' });
const say = (s) => ({ content: [text(s)] });
const none = z.object({});


// the kinds of content that an answer may have

function addContent(tool)
{
    tool('test_simple_text', 'Answers with text', none,
         () => say('A simple text for the test.'));

    tool('test_image_content', 'Answers with an image', none,
         () => ({ content: [image()] }));

    tool('test_audio_content', 'Answers with a sound', none, () => ({
        content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }],
    }));

    tool('test_embedded_resource', 'Answers with a resource', none, () => ({
        content: [{
            type: 'resource',
            resource: { uri: 'test://embedded-resource',
                        mimeType: 'text/plain', text: 'Embedded.' },
        }],
    }));

    tool('test_multiple_content_types', 'Answers with all of them', none,
         () => ({
             content: [
                 text('Several kinds:'),
                 image(),
                 {
                     type: 'resource',
                     resource: { uri: 'test://mixed-content-resource',
                                 mimeType: 'application/json',
                                 text: '{"test":"data","value":123}' },
                 },
             ],
         }));

    tool('test_error_handling', 'Fails', none, () => {
        throw new Error('This tool fails, as it was asked to');
    });
}


// what a server says while a call is running

function addNotifications(tool, server, notifier)
{
    tool('test_tool_with_logging', 'Logs while it runs', none,
         async (args, ctx) => {
             for (const data of ['started', 'working', 'done']) {
                 await ctx.mcpReq.notify({
                     method: 'notifications/message',
                     params: { level: 'info', logger: 'fixture', data },
                 });

                 await sleep(50);
             }

             return say('Logged three times.');
         });

    tool('test_tool_with_progress', 'Reports progress while it runs', none,
         async (args, ctx) => {
             const progressToken = ctx.mcpReq._meta?.progressToken;

             // nobody who has not asked is told

             for (const progress of [0, 50, 100]) {
                 if (progressToken === undefined) {
                     break;
                 }

                 await ctx.mcpReq.notify({
                     method: 'notifications/progress',
                     params: { progressToken, progress, total: 100 },
                 });

                 await sleep(50);
             }

             return say(`Token: ${progressToken ?? 'none'}`);
         });

    tool('test_logging_tool', 'Logs for those who have set a level', none,
         async (args, ctx) => {
             await ctx.mcpReq.log('info', 'test_logging_tool has run');

             return say('Logged.');
         });

    tool('test_reconnection', 'Drops the stream before it answers', none,
         async (args, ctx) => {
             ctx.http?.closeSSE?.();
             await sleep(100);

             return say('The client has come back for this.');
         });

    tool('test_wait', 'Waits until nobody wants the answer', none,
         async (args, ctx) => {
             await sleep(20000, null, { signal: ctx.mcpReq.signal });

             return say('Nobody has said that it is not wanted.');
         });

    // on every open stream of the newer era, or on that of this session

    tool('test_trigger_tool_change', 'Tells that the tools changed', none,
         () => {
             if (notifier !== undefined) {
                 notifier().toolsChanged();

             } else {
                 server.sendToolListChanged();
             }

             return say('Told.');
         });

    tool('test_trigger_prompt_change', 'Tells that the prompts changed',
         none, () => {
             if (notifier !== undefined) {
                 notifier().promptsChanged();

             } else {
                 server.sendPromptListChanged();
             }

             return say('Told.');
         });
}


// what a server of the older era asks the client while a call is running

const defaults = {
    type: 'object',
    properties: {
        name: { type: 'string', description: 'Name', default: 'John Doe' },
        age: { type: 'integer', description: 'Age', default: 30 },
        score: { type: 'number', description: 'Score', default: 95.5 },
        status: { type: 'string', description: 'Status',
                  enum: ['active', 'inactive', 'pending'],
                  default: 'active' },
        verified: { type: 'boolean', description: 'Verified',
                    default: true },
    },
    required: [],
};

const three = (prefix) => [1, 2, 3].map((n) => `${prefix}${n}`);

const titled = () => three('value').map((value, i) => ({
    const: value, title: `Choice ${i + 1}`,
}));

const choices = {
    type: 'object',
    properties: {
        untitledSingle: { type: 'string', enum: three('option') },
        titledSingle: { type: 'string', oneOf: titled() },
        legacyEnum: { type: 'string', enum: three('opt'),
                      enumNames: three('Option ') },
        untitledMulti: { type: 'array', minItems: 1, maxItems: 3,
                         items: { type: 'string',
                                  enum: three('option') } },
        titledMulti: { type: 'array', minItems: 1, maxItems: 3,
                       items: { anyOf: titled() } },
    },
    required: [],
};


function addQuestions(tool)
{
    const elicit = async (ctx, message, requestedSchema) => {
        const r = await ctx.mcpReq.elicitInput({
            mode: 'form', message, requestedSchema,
        });

        return say(`Elicitation completed: action=${r.action}, `
                   + `content=${JSON.stringify(r.content ?? {})}`);
    };

    tool('test_sampling', 'Asks the model of the client',
         z.object({ prompt: z.string() }),
         async ({ prompt }, ctx) => {
             const r = await ctx.mcpReq.requestSampling({
                 messages: [{ role: 'user', content: text(prompt) }],
                 maxTokens: 100,
             });

             return say(`LLM response: ${r.content.text}`);
         });

    tool('test_elicitation', 'Asks the user of the client',
         z.object({ message: z.string() }),
         ({ message }, ctx) => elicit(ctx, message, {
             type: 'object',
             properties: { response: { type: 'string' } },
             required: ['response'],
         }));

    tool('test_elicitation_sep1034_defaults', 'Asks with defaults', none,
         (args, ctx) => elicit(ctx, 'Check these', defaults));

    tool('test_elicitation_sep1330_enums', 'Asks for choices', none,
         (args, ctx) => elicit(ctx, 'Choose', choices));
}


// schemas that have to arrive as they were written

function addSchemas(tool)
{
    tool('json_schema_2020_12_tool', 'Has a schema of 2020-12',
         fromJsonSchema({
             $schema: 'https://json-schema.org/draft/2020-12/schema',
             type: 'object',
             $defs: {
                 address: {
                     $anchor: 'addressDef',
                     type: 'object',
                     properties: { street: { type: 'string' },
                                   city: { type: 'string' } },
                 },
             },
             properties: {
                 name: { type: 'string' },
                 address: { $ref: '#/$defs/address' },
                 contactMethod: { type: 'string', enum: ['phone', 'email'] },
                 phone: { type: 'string' },
                 email: { type: 'string' },
             },
             allOf: [{ anyOf: [{ required: ['phone'] },
                               { required: ['email'] }] }],
             if: { properties: { contactMethod: { const: 'phone' } },
                   required: ['contactMethod'] },
             then: { required: ['phone'] },
             else: { required: ['email'] },
             additionalProperties: false,
         }),
         (args) => say(JSON.stringify(args)));

    tool('test_x_mcp_header', 'Has an argument that a header repeats',
         fromJsonSchema({
             type: 'object',
             properties: {
                 region: { type: 'string', 'x-mcp-header': 'Region' },
                 level: { type: 'integer' },
             },
         }),
         ({ region }) => say(`Region: ${region ?? 'none'}`));
}


function addResources(server)
{
    const add = (name, uri, mimeType, content) => server.registerResource(
        name, uri, { title: name, description: `The ${name}`, mimeType },
        (at, variables) => ({
            contents: [{ uri: String(at), mimeType, ...content(variables) }],
        }));

    add('static-text', 'test://static-text', 'text/plain',
        () => ({ text: 'A static text.' }));

    add('static-binary', 'test://static-binary', 'image/png',
        () => ({ blob: PNG }));

    add('watched-resource', 'test://watched-resource', 'text/plain',
        () => ({ text: 'A watched text.' }));

    add('template',
        new ResourceTemplate('test://template/{id}/data', { list: undefined }),
        'application/json',
        ({ id }) => ({ text: JSON.stringify({ id, templateTest: true }) }));

    for (const method of ['resources/subscribe', 'resources/unsubscribe']) {
        server.server.setRequestHandler(method, () => ({}));
    }
}


function addPrompts(server)
{
    const user = (content) => ({ role: 'user', content });

    const add = (name, description, argsSchema, messages) =>
        server.registerPrompt(name, {
            title: name, description, ...(argsSchema && { argsSchema }),
        }, (args) => ({ messages: messages(args).map(user) }));

    add('test_simple_prompt', 'Without arguments', undefined,
        () => [text('A simple prompt for the test.')]);

    add('test_prompt_with_arguments', 'With arguments',
        z.object({ arg1: z.string(), arg2: z.string() }),
        ({ arg1, arg2 }) => [text(`Arguments: ${arg1}, ${arg2}`)]);

    add('test_prompt_with_embedded_resource', 'With a resource',
        z.object({ resourceUri: z.string() }),
        ({ resourceUri }) => [
            { type: 'resource',
              resource: { uri: resourceUri, mimeType: 'text/plain',
                          text: 'Embedded.' } },
            text('Look at the resource.'),
        ]);

    add('test_prompt_with_image', 'With an image', undefined,
        () => [image(), text('Look at the image.')]);
}


// One for each session, or for each request.  notifier: a function that gives
// what reaches the open streams of the newer era; none for the older one.

export function newServer(notifier)
{
    const server = new McpServer({ name: 'fixture', version: '1.0.0' }, {
        capabilities: {
            tools: { listChanged: true },
            resources: { subscribe: true, listChanged: true },
            prompts: { listChanged: true },
            logging: {},
            completions: {},
        },
        requestState: { verify: states.verify },
    });

    const tool = (name, description, inputSchema, run) => {
        server.registerTool(name, { description, inputSchema }, run);
    };

    addContent(tool);
    addNotifications(tool, server, notifier);
    addQuestions(tool);
    addSchemas(tool);
    addRounds(tool, server);
    addResources(server);
    addPrompts(server);

    server.server.setRequestHandler('logging/setLevel', () => ({}));

    server.server.setRequestHandler('completion/complete', () => ({
        completion: { values: [], total: 0, hasMore: false },
    }));

    return server;
}
