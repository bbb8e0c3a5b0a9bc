using System.Text.Json.Nodes;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using Sluice.Platform.Http;

namespace Sluice.Host;

/// <summary>The refusals of the API document: for each route every status and code that it can answer with, and when <c>Retry-After</c> comes with it.</summary>
internal static class ApiProblems
{
    private const string Schema = "Problem", MediaType = "application/problem+json";

    /// <summary>Adds a response for each status with which the route refuses; its schema lists the codes.</summary>
    public static void AddTo(OpenApiOperation operation, OpenApiOperationTransformerContext context)
    {
        var metadata = context.Description.ActionDescriptor.EndpointMetadata;
        operation.Responses ??= [];
        foreach (var problems in Of(operation, context.Description.HttpMethod, metadata).Distinct().GroupBy(problem => problem.Status).OrderBy(problems => problems.Key))
        {
            var codes = problems.Select(problem => problem.Code).ToList();
            operation.Responses[$"{problems.Key}"] = new OpenApiResponse
            {
                Description = string.Join(", ", codes.Select(code => $"`{code}`")),
                Headers = HeadersOf(problems.Key),
                Content = new Dictionary<string, OpenApiMediaType>(StringComparer.Ordinal)
                {
                    [MediaType] = new()
                    {
                        Schema = new OpenApiSchema { AllOf = [new OpenApiSchemaReference(Schema, context.Document), new OpenApiSchema { Properties = Properties(("code", Code(codes))) }] },
                    },
                },
            };
        }
    }

    /// <summary>The schema that all refusals share. After the routes: its codes are theirs, and the one that answers where there is no route of that method.</summary>
    public static void AddSchema(OpenApiDocument document)
    {
        var codes = document.Paths.SelectMany(path => path.Value.Operations ?? []).SelectMany(operation => operation.Value.Responses ?? [])
            .SelectMany(response => response.Value.Content ?? new Dictionary<string, OpenApiMediaType>()).Where(content => content.Key == MediaType)
            .SelectMany(content => content.Value.Schema!.AllOf![1].Properties!["code"].Enum!).Select(code => (string)code!)
            .Append("method-not-allowed").Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToList();
        document.AddComponent(Schema, new OpenApiSchema
        {
            Type = JsonSchemaType.Object,
            Description = "A refusal (RFC 9457). Programs read `code`, which never changes; `detail` is for people. Some codes bring members of their own.",
            Required = new HashSet<string>(["type", "title", "status", "detail", "code"], StringComparer.Ordinal),
            Properties = Properties(
                ("type", new OpenApiSchema { Type = JsonSchemaType.String, Format = "uri" }), ("title", new OpenApiSchema { Type = JsonSchemaType.String }),
                ("status", new OpenApiSchema { Type = JsonSchemaType.Integer }), ("detail", new OpenApiSchema { Type = JsonSchemaType.String }), ("code", Code(codes))),
        });
    }

    private static IEnumerable<(int Status, string Code)> Of(OpenApiOperation operation, string? method, IList<object> metadata)
    {
        var rule = metadata.OfType<AccessRuleMetadata>().LastOrDefault()?.Rule;
        if (rule != AccessRule.Public)
        {
            yield return (401, "unauthorized");
        }

        if (rule is AccessRule.User or AccessRule.Server)
        {
            yield return (403, "forbidden");
        }

        // PUT makes what is not there yet.
        if (operation.Parameters?.Any(parameter => parameter.In == ParameterLocation.Path) == true && method != HttpMethods.Put)
        {
            yield return (404, "not-found");
        }

        if (operation.RequestBody is not null)
        {
            yield return (400, "invalid-request");
            yield return (408, "request-timeout");
            yield return (413, "body-too-large");
            yield return (415, "unsupported-media-type");
        }

        foreach (var note in metadata.OfType<RefusalNote>())
        {
            foreach (var code in note.Codes)
            {
                yield return (note.Status, code);
            }
        }

        if (!metadata.OfType<NoEnginesNote>().Any())
        {
            yield return (503, "unavailable");
        }

        yield return (500, "internal-error");
    }

    private static Dictionary<string, IOpenApiHeader>? HeadersOf(int status)
    {
        return status switch
        {
            401 => Header("WWW-Authenticate", "How to say who is asking.", JsonSchemaType.String),
            429 or 503 => Header("Retry-After", "Seconds until asking again makes sense.", JsonSchemaType.Integer),
            _ => null,
        };

        static Dictionary<string, IOpenApiHeader> Header(string name, string says, JsonSchemaType type) =>
            new(StringComparer.Ordinal) { [name] = new OpenApiHeader { Description = says, Schema = new OpenApiSchema { Type = type } } };
    }

    private static OpenApiSchema Code(IEnumerable<string> codes) => new() { Type = JsonSchemaType.String, Enum = [.. codes.Select(code => (JsonNode)code)] };

    private static Dictionary<string, IOpenApiSchema> Properties(params (string Name, IOpenApiSchema Schema)[] properties) =>
        properties.ToDictionary(property => property.Name, property => property.Schema, StringComparer.Ordinal);
}
