using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Sluice.Platform.Http;

/// <summary>A part of a list. <c>NextCursor</c> asks for the next one; null when this is the last.</summary>
public sealed record Page<T>(IReadOnlyList<T> Items, string? NextCursor);

/// <summary>Which part of a list, newest first, a request asks for: at most <c>limit</c> of what is older than <c>cursor</c>, the id that was seen last.</summary>
public sealed record Paging(int Limit, long Before)
{
    public const int LimitDefault = 40, LimitMax = 100;

    public static Problem BadLimit { get; } = Problem.Invalid($"'limit' is a number from 1 to {LimitMax}.");

    public static Problem BadCursor { get; } = Problem.Invalid("'cursor' is what 'nextCursor' said.");

    /// <summary>The part that everybody looks at.</summary>
    public bool IsFirst => this is { Limit: LimitDefault, Before: long.MaxValue };

    /// <summary>Null when it was read, else what to answer.</summary>
    public static Problem? Read(HttpRequest request, out Paging paging)
    {
        var (limit, before) = (LimitOf(request), CursorOf(request));
        paging = new Paging(limit ?? LimitDefault, before ?? long.MaxValue);
        return limit is null ? BadLimit : before is null ? BadCursor : null;
    }

    /// <summary>The limit alone; null when it is none.</summary>
    public static int? LimitOf(HttpRequest request, int otherwise = LimitDefault) => request.Query["limit"] switch
    {
        [] => otherwise,
        [var one] when Names.TryId(one, out var limit) && limit is >= 1 and <= LimitMax => (int)limit,
        _ => null,
    };

    /// <summary>The cursor alone, <see cref="long.MaxValue"/> where the list begins; null when it is none.</summary>
    public static long? CursorOf(HttpRequest request) => request.Query["cursor"] switch
    {
        [] => long.MaxValue,
        [var one] when Names.TryId(one, out var before) => before,
        _ => null,
    };
}

/// <summary>The words for it in the API's description.</summary>
public static class PagedRoutes
{
    public static TBuilder IsPaged<TBuilder>(this TBuilder route, int limitDefault = Paging.LimitDefault, string cursor = "236126107336710912")
        where TBuilder : IEndpointConventionBuilder => route
        .TakesQuery("limit", $"1 to {Paging.LimitMax}; {limitDefault} unless given.", $"{limitDefault}").TakesQuery("cursor", "What nextCursor said.", cursor);
}
