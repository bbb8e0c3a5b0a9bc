using Microsoft.AspNetCore.Builder;

namespace Sluice.Platform.Http;

/// <summary>Problems with which a route answers, beside those that follow from its form.</summary>
public sealed record RefusalNote(int Status, IReadOnlyList<string> Codes);

/// <summary>A header or a query parameter that a route reads by itself.</summary>
public sealed record InputNote(string Name, bool IsHeader, string Description, string Example);

/// <summary>A header of the answer with this status.</summary>
public sealed record HeaderNote(int Status, string Name, string Description);

/// <summary>An example of the request's body, or of the answer with this status.</summary>
public sealed record ExampleNote(int? Status, string Name, string Json);

/// <summary>The route asks neither Redis nor SQL, so it never answers that one of them is away.</summary>
public sealed record NoEnginesNote;

/// <summary>
/// What the API document says of a route beyond its path and types. Nothing here changes what the route does; tests hold it against what the routes answer and against docs/problems.md.
/// What follows from a route's form (401, 403, 404, a body's 400, 408, 413 and 415, 500, 503) is added where the document is made.
/// </summary>
public static class RouteNotes
{
    public static TBuilder Refuses<TBuilder>(this TBuilder route, int status, params string[] codes)
        where TBuilder : IEndpointConventionBuilder => route.WithMetadata(new RefusalNote(status, codes));

    public static TBuilder TakesHeader<TBuilder>(this TBuilder route, string name, string description, string example)
        where TBuilder : IEndpointConventionBuilder => route.WithMetadata(new InputNote(name, IsHeader: true, description, example));

    public static TBuilder TakesQuery<TBuilder>(this TBuilder route, string name, string description, string example)
        where TBuilder : IEndpointConventionBuilder => route.WithMetadata(new InputNote(name, IsHeader: false, description, example)).Refuses(400, "invalid-request");

    public static TBuilder TakesIdempotencyKey<TBuilder>(this TBuilder route)
        where TBuilder : IEndpointConventionBuilder => route
        .TakesHeader("Idempotency-Key", "16 to 64 of A–Z a–z 0–9 _ -. The same key again has no second effect and gets the first one's result.", "5f2b7c0e9a4d4f0c8d1e2a3b4c5d6e7f")
        .Refuses(400, "invalid-idempotency-key").Refuses(422, "idempotency-key-reused");

    /// <summary>The route answers through <see cref="Versioned"/>.</summary>
    public static TBuilder IsVersioned<TBuilder>(this TBuilder route)
        where TBuilder : IEndpointConventionBuilder => route
        .TakesHeader("If-None-Match", "The ETag that the caller has; 304 when it is still the one.", "\"7-312-open\"")
        .TakesQuery(Versioned.Parameter, "The same without its quotes; when it is still the one, 200 and {\"version\":\"7-312-open\",\"unchanged\":true}, no more.", "7-312-open")
        .WithMetadata(new HeaderNote(200, "ETag", "Names this version."), new HeaderNote(304, "ETag", "Names this version."));

    /// <summary>The route changes a version that the caller may name, through <see cref="Versioned.MayChange"/>.</summary>
    public static TBuilder ChangesVersion<TBuilder>(this TBuilder route)
        where TBuilder : IEndpointConventionBuilder => route
        .TakesHeader("If-Match", "The ETag that the caller has; 412 when somebody has changed it since.", "\"3\"")
        .Refuses(412, "changed-meanwhile").WithMetadata(new HeaderNote(200, "ETag", "Names the new version."));

    public static TBuilder TellsWhere<TBuilder>(this TBuilder route, int status, string what)
        where TBuilder : IEndpointConventionBuilder => route.WithMetadata(new HeaderNote(status, "Location", what));

    public static TBuilder WithoutEngines<TBuilder>(this TBuilder route)
        where TBuilder : IEndpointConventionBuilder => route.WithMetadata(new NoEnginesNote());

    public static TBuilder WithExample<TBuilder>(this TBuilder route, int? status, string name, string json)
        where TBuilder : IEndpointConventionBuilder => route.WithMetadata(new ExampleNote(status, name, json));
}
